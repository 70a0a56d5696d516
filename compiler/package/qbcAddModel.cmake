# qbc_add_model: a model as a part of a build.
#
#     qbc_add_model(NAME MODEL.onnx TARGET CPU [FORMAT FORMAT] [EMIT KIND] [OUTPUT FILE] [LOAD PLUGIN...]
#                   [OPTIONS OPTION...] [EXCLUDE_FROM_ALL])
#
#   TARGET     the CPU: a name from `qbc --list-targets`; several give an artifact for all of them
#   FORMAT     of the weights: a name from `qbc --list-formats` (as the model has them)
#   EMIT       qbm (the default), static-lib, shared, obj, exe or header
#   OUTPUT     the file (NAME.qbm, libNAME.a, libNAME.so, NAME.o, NAME or NAME.h in the binary folder)
#   LOAD       extensions: shared objects, or targets of this build that make them
#   OPTIONS    more of qbc's options, as on its command line: -ctx=1024
#
# NAME becomes a target. With static-lib and shared it is a library to link, whose header is NAME.h and whose functions
# are NAME_open, NAME_eval, ... With obj it is an object library. Otherwise it is a target that makes the file, by default
# as part of `all`. In any case its property QBC_FILE is the path of the file.
#
# The model is compiled again when it, its external data, its tokenizer, an extension or qbc has changed. qbc runs on
# the machine that builds, whatever the project is built for.
function(qbc_add_model name model)
  cmake_parse_arguments(PARSE_ARGV 2 arg "EXCLUDE_FROM_ALL" "FORMAT;EMIT;OUTPUT" "TARGET;LOAD;OPTIONS")
  foreach(word IN LISTS arg_TARGET arg_OPTIONS) # a misspelt keyword looks like one more of a list
    if(word MATCHES "^[A-Z_]+$")
      list(APPEND arg_UNPARSED_ARGUMENTS ${word})
    endif()
  endforeach()
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "qbc_add_model(${name}): what is '${arg_UNPARSED_ARGUMENTS}'? "
                        "Known: TARGET FORMAT EMIT OUTPUT LOAD OPTIONS EXCLUDE_FROM_ALL")
  endif()
  if(NOT arg_TARGET)
    message(FATAL_ERROR "qbc_add_model(${name}): say for which CPU: TARGET armv8, TARGET x86-64-v3, ...; "
                        "`qbc --list-targets` shows them")
  endif()
  if(NOT name MATCHES "^[A-Za-z_][A-Za-z0-9_]*$")
    message(FATAL_ERROR "qbc_add_model(${name}): the name goes into C, so letters, digits and '_' only")
  endif()
  set(emit qbm)
  if(arg_EMIT)
    set(emit ${arg_EMIT})
  endif()
  set(names_qbm ${name}.qbm)
  set(names_static-lib lib${name}.a)
  set(names_shared lib${name}.so)
  set(names_obj ${name}.o)
  set(names_exe ${name})
  set(names_header ${name}.h)
  if(NOT DEFINED names_${emit})
    message(FATAL_ERROR "qbc_add_model(${name}): EMIT ${emit} is none of qbm, static-lib, shared, obj, exe, header")
  endif()

  get_filename_component(model "${model}" ABSOLUTE)
  if(NOT arg_OUTPUT)
    set(arg_OUTPUT ${names_${emit}})
  endif()
  get_filename_component(output "${arg_OUTPUT}" ABSOLUTE BASE_DIR "${CMAKE_CURRENT_BINARY_DIR}")
  get_filename_component(folder "${output}" DIRECTORY)
  file(MAKE_DIRECTORY "${folder}") # an include folder must be there before the header is

  list(JOIN arg_TARGET "," targets)
  set(options -target=${targets} -emit=${emit} -q)
  if(arg_FORMAT)
    list(APPEND options -quant=${arg_FORMAT})
  endif()
  set(byproducts)
  if(emit MATCHES "^(static-lib|shared|obj|header)$")
    list(APPEND options -prefix=${name})
  endif()
  if(emit MATCHES "^(static-lib|shared)$")
    set(byproducts "${folder}/${name}.h")
  endif()
  get_target_property(library qbc::compiler QBC_LIBRARY)
  set(dependencies "${model}" "$<TARGET_FILE:qbc::compiler>" "${library}")
  foreach(plugin IN LISTS arg_LOAD)
    if(TARGET ${plugin})
      list(APPEND options "-load=$<TARGET_FILE:${plugin}>")
    else()
      get_filename_component(plugin "${plugin}" ABSOLUTE)
      list(APPEND options "-load=${plugin}")
    endif()
    list(APPEND dependencies ${plugin})
  endforeach()

  add_custom_command(OUTPUT "${output}" ${byproducts}
    COMMAND "$<TARGET_FILE:qbc::compiler>" "${model}" ${options} ${arg_OPTIONS} "-depfile=${output}.d" -o "${output}"
    DEPENDS ${dependencies}
    DEPFILE "${output}.d"
    COMMENT "Compiling ${name} for ${targets}"
    VERBATIM)

  # Which target makes the file, and which is it to link
  set(all ALL)
  if(arg_EXCLUDE_FROM_ALL OR emit MATCHES "^(static-lib|shared|obj)$")
    set(all) # what is linked is made when it is needed
  endif()
  if(emit STREQUAL "static-lib" OR emit STREQUAL "shared")
    add_custom_target(${name}_model ${all} DEPENDS "${output}" ${byproducts})
    if(emit STREQUAL "shared")
      add_library(${name} SHARED IMPORTED GLOBAL)
      get_filename_component(soname "${output}" NAME)
      set_target_properties(${name} PROPERTIES IMPORTED_SONAME "${soname}")
    else()
      add_library(${name} STATIC IMPORTED GLOBAL)
    endif()
    set_target_properties(${name} PROPERTIES IMPORTED_LOCATION "${output}" INTERFACE_INCLUDE_DIRECTORIES "${folder}")
    add_dependencies(${name} ${name}_model)
  elseif(emit STREQUAL "obj")
    add_custom_target(${name}_model ${all} DEPENDS "${output}")
    add_library(${name} OBJECT IMPORTED GLOBAL)
    set_target_properties(${name} PROPERTIES IMPORTED_OBJECTS "${output}")
    add_dependencies(${name} ${name}_model)
  else()
    add_custom_target(${name} ${all} DEPENDS "${output}")
  endif()
  set_target_properties(${name} PROPERTIES QBC_FILE "${output}")
endfunction()
