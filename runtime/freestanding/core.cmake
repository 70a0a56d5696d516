# cmake -DTRIPLE=aarch64-linux-gnu -DFLAGS=-march=armv8-a -DOUT=libqbrt_core.a ... -P core.cmake: the core of the
# runtime as a library that needs nobody and defines no name but qbrt_...
#
# CLANG, TOOLS (the folder of llvm-ar, llvm-nm, llvm-objcopy), RUNTIME (the folder runtime/), OUT: see CMakeLists.txt.
cmake_minimum_required(VERSION 3.25)

file(GLOB sources ${RUNTIME}/*.c ${RUNTIME}/freestanding/*.c)
foreach(source ${sources})
  file(STRINGS ${source} head LIMIT_COUNT 1)
  if(head MATCHES "\\(hosted")
    list(REMOVE_ITEM sources ${source})
  endif()
endforeach()

get_filename_component(folder ${OUT} DIRECTORY)
set(objects ${folder}/core)
file(REMOVE_RECURSE ${objects})
file(MAKE_DIRECTORY ${objects})
separate_arguments(FLAGS)
execute_process(COMMAND_ERROR_IS_FATAL ANY WORKING_DIRECTORY ${objects}
  COMMAND ${CLANG} --target=${TRIPLE} ${FLAGS} -std=c11 -O2 -Wall -Wextra -Wpedantic -Werror
          -ffreestanding -nostdlibinc -fPIC -fvisibility=hidden -fno-asynchronous-unwind-tables -fno-stack-protector
          -fno-ident -ffunction-sections -fdata-sections -I${RUNTIME} -I${RUNTIME}/abi -c ${sources})

# memcpy and its like, and what the files share among themselves, get our prefix here.
file(GLOB members ${objects}/*.o)
execute_process(COMMAND_ERROR_IS_FATAL ANY OUTPUT_VARIABLE symbols
  COMMAND ${TOOLS}/llvm-nm --extern-only --just-symbol-name --no-sort --quiet ${members})
string(REGEX MATCHALL "[A-Za-z_][A-Za-z0-9_]*\n" symbols "${symbols}")
list(REMOVE_DUPLICATES symbols)
set(renamed "")
foreach(symbol ${symbols})
  string(STRIP ${symbol} symbol)
  if(NOT symbol MATCHES "^qbrt_|^_GLOBAL_OFFSET_TABLE_$")
    string(APPEND renamed "${symbol} qbrt_${symbol}\n")
  endif()
endforeach()
file(WRITE ${objects}/renamed "${renamed}")
foreach(member ${members})
  get_filename_component(name ${member} NAME_WE)
  # An attributes section tells linkers which extensions the code may use; older ones know fewer names.
  execute_process(COMMAND_ERROR_IS_FATAL ANY
    COMMAND ${TOOLS}/llvm-objcopy --redefine-syms=${objects}/renamed --remove-section=.riscv.attributes
            --remove-section=.comment ${member} ${objects}/qbrt_${name}.o)
  file(REMOVE ${member})
endforeach()
file(GLOB members ${objects}/qbrt_*.o)
file(REMOVE ${OUT})
execute_process(COMMAND_ERROR_IS_FATAL ANY COMMAND ${TOOLS}/llvm-ar rcsD ${OUT} ${members})
file(REMOVE_RECURSE ${objects})
