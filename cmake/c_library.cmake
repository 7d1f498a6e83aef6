# libingot: the C interface of include/ingot/c_api.h as a shared library that holds all it needs of
# Ingot and shows nothing else. ingot::c is the target to link, from C or any language.
function(ingot_c_library)
  if(NOT TARGET ingot_capi)
    return()
  endif()
  target_include_directories(ingot_capi PUBLIC
    $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/include> $<INSTALL_INTERFACE:include>)
  # All code comes from the room's library; CMake wants a source of the target's own.
  set(source ${CMAKE_BINARY_DIR}/generated/c_library.cc)
  file(CONFIGURE OUTPUT ${source} CONTENT "// Nothing: libingot holds what the room capi defines.\n")
  add_library(ingot_c SHARED ${source})
  add_library(ingot::c ALIAS ingot_c)
  set_target_properties(ingot_c PROPERTIES OUTPUT_NAME ingot EXPORT_NAME c VERSION ${PROJECT_VERSION}
    SOVERSION 1 LINK_DEPENDS ${CMAKE_SOURCE_DIR}/cmake/c_library.map)
  target_include_directories(ingot_c INTERFACE
    $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_include_directories(ingot_c PRIVATE ${CMAKE_SOURCE_DIR}/include)
  target_link_libraries(ingot_c PRIVATE -Wl,--whole-archive $<BUILD_INTERFACE:ingot_capi>
    -Wl,--no-whole-archive $<BUILD_INTERFACE:ingot_flags>)
  target_link_options(ingot_c PRIVATE -Wl,--gc-sections
    -Wl,--version-script=${CMAKE_SOURCE_DIR}/cmake/c_library.map)
endfunction()
