# What `cmake --install` lays out: the program, the rooms' libraries, their headers, and the package
# that find_package(ingot) reads. The target to link is ingot::ingot.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# ingot::ingot, the whole library: what a program that includes <ingot/ingot.h> links.
function(ingot_umbrella)
  get_property(rooms GLOBAL PROPERTY INGOT_ROOMS)
  list(REMOVE_ITEM rooms cli capi serve server)  # these belong to the programs, not to the library
  add_library(ingot_library INTERFACE)
  add_library(ingot::ingot ALIAS ingot_library)
  set_target_properties(ingot_library PROPERTIES EXPORT_NAME ingot)
  target_include_directories(ingot_library INTERFACE
    $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_compile_features(ingot_library INTERFACE cxx_std_20)
  foreach(room IN LISTS rooms)
    set_target_properties(ingot_${room} PROPERTIES EXPORT_NAME ${room})
    target_link_libraries(ingot_library INTERFACE ingot_${room})
  endforeach()
endfunction()

function(ingot_install)
  get_property(rooms GLOBAL PROPERTY INGOT_ROOMS)
  list(REMOVE_ITEM rooms cli capi serve server)
  set(libraries ingot_library ingot_onnx_proto)
  foreach(room IN LISTS rooms)
    list(APPEND libraries ingot_${room})
  endforeach()
  install(TARGETS ${libraries} EXPORT ingotTargets
          ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development
          LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT runtime)
  if(TARGET ingot_c)
    install(TARGETS ingot_c EXPORT ingotTargets
            LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT runtime
            NAMELINK_COMPONENT development)
    # Found from where the file lies, since a prefix may be given when it is installed.
    file(RELATIVE_PATH INGOT_PREFIX_FROM_PKGCONFIG /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
    configure_file(${CMAKE_SOURCE_DIR}/cmake/ingot.pc.in ${CMAKE_BINARY_DIR}/ingot.pc @ONLY)
    install(FILES ${CMAKE_BINARY_DIR}/ingot.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
            COMPONENT development)
  endif()
  if(TARGET ingot)
    install(TARGETS ingot RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT runtime)
  endif()
  install(DIRECTORY ${CMAKE_SOURCE_DIR}/src/ingot ${CMAKE_SOURCE_DIR}/include/ingot
          DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development
          FILES_MATCHING PATTERN "*.h" PATTERN "cli" EXCLUDE PATTERN "capi" EXCLUDE PATTERN "serve*" EXCLUDE)
  set(package ${CMAKE_INSTALL_LIBDIR}/cmake/ingot)
  install(EXPORT ingotTargets NAMESPACE ingot:: DESTINATION ${package} COMPONENT development)
  configure_package_config_file(${CMAKE_SOURCE_DIR}/cmake/ingotConfig.cmake.in
    ${CMAKE_BINARY_DIR}/ingotConfig.cmake INSTALL_DESTINATION ${package})
  write_basic_package_version_file(${CMAKE_BINARY_DIR}/ingotConfigVersion.cmake
    COMPATIBILITY SameMinorVersion)
  install(FILES ${CMAKE_BINARY_DIR}/ingotConfig.cmake ${CMAKE_BINARY_DIR}/ingotConfigVersion.cmake
                ${CMAKE_SOURCE_DIR}/cmake/highway.cmake ${CMAKE_SOURCE_DIR}/cmake/turbojpeg.cmake
          DESTINATION ${package} COMPONENT development)
  install(FILES ${CMAKE_SOURCE_DIR}/LICENSE ${CMAKE_SOURCE_DIR}/README.md
          DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT runtime OPTIONAL)
endfunction()
