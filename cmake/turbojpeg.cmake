# The target turbojpeg::turbojpeg: the CMake package of Debian's libjpeg-turbo also asks for files of
# another package, which nothing here needs.
if(NOT TARGET turbojpeg::turbojpeg)
  find_package(PkgConfig REQUIRED)
  pkg_check_modules(TURBOJPEG REQUIRED libturbojpeg)
  find_library(INGOT_TURBOJPEG_LIBRARY turbojpeg HINTS ${TURBOJPEG_LIBRARY_DIRS} REQUIRED)
  add_library(turbojpeg::turbojpeg INTERFACE IMPORTED)
  target_include_directories(turbojpeg::turbojpeg INTERFACE ${TURBOJPEG_INCLUDE_DIRS})
  target_link_libraries(turbojpeg::turbojpeg INTERFACE ${INGOT_TURBOJPEG_LIBRARY})
endif()
