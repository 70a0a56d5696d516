# install: what `cmake --install` puts where. The package files find everything from where they lie, so the
# installed tree may be moved as a whole.
#
#     bin/qbc qbc-opt qbrun          lib/libqbc.so libqbrt.a
#     include/qbc.h qbrt.h           include/qbc/: for extensions; include/qbrt/: tokenizer.h, step.h
#     lib/qbc/ARCH/                  what goes into programs and libraries for each machine
#     share/qbc/runtime/             the runtime's source, for machines that have no libqbrt.a here
#     lib/cmake/qbc, lib/pkgconfig   find_package(qbc), pkg-config qbc, pkg-config qbrt
set(package ${SRC}/compiler/package)
set(made ${CMAKE_BINARY_DIR}/package)
set(config_folder ${CMAKE_INSTALL_LIBDIR}/cmake/qbc)
file(RELATIVE_PATH QBC_PREFIX_FROM_CONFIG /x/${config_folder} /x)
file(RELATIVE_PATH QBC_PREFIX_FROM_PC /x/${CMAKE_INSTALL_LIBDIR}/pkgconfig /x)

include(CMakePackageConfigHelpers)
configure_file(${package}/qbcConfig.cmake.in ${made}/qbcConfig.cmake @ONLY)
# The compiler is of use to a project for any machine, whatever the size of its pointers.
write_basic_package_version_file(${made}/qbcConfigVersion.cmake COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
configure_file(${package}/qbc.pc.in ${made}/qbc.pc @ONLY)
configure_file(${package}/qbrt.pc.in ${made}/qbrt.pc @ONLY)

install(TARGETS qbc qbc-opt qbrun RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS qbc_shared qbrt LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${SRC}/compiler/qbc.h ${SRC}/runtime/qbrt.h ${SRC}/runtime/qbrt_types.h
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
# step.h: for callers of -emit=obj
install(FILES ${SRC}/runtime/tokenizer.h ${SRC}/runtime/abi/step.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/qbrt)
set(inner base.h coded.h evaluate.h extension.h facts.h pattern.h)
list(TRANSFORM inner PREPEND ${SRC}/compiler/base/)
file(GLOB dialect_headers ${SRC}/dialects/*.h ${SRC}/dialects/*.def)
file(GLOB target_headers ${SRC}/targets/*.h ${SRC}/targets/*.def)
install(FILES ${inner} ${dialect_headers} ${target_headers} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/qbc)
install(DIRECTORY ${CMAKE_BINARY_DIR}/lib/qbc DESTINATION ${CMAKE_INSTALL_LIBDIR} USE_SOURCE_PERMISSIONS
        PATTERN core EXCLUDE)
install(FILES ${runtime_sources} DESTINATION share/qbc/runtime)
file(GLOB runtime_inner ${SRC}/runtime/*.h ${SRC}/runtime/*.def)
install(FILES ${runtime_inner} DESTINATION share/qbc/runtime)
install(DIRECTORY ${SRC}/runtime/abi DESTINATION share/qbc/runtime)
install(FILES ${made}/qbcConfig.cmake ${made}/qbcConfigVersion.cmake ${package}/qbcAddModel.cmake
        DESTINATION ${config_folder})
install(FILES ${made}/qbc.pc ${made}/qbrt.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(FILES ${SRC}/LICENSE ${SRC}/README.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY ${SRC}/docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR} FILES_MATCHING PATTERN "*.md")
install(DIRECTORY ${SRC}/docs/examples/plugin DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples)
