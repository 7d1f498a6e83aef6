# The target hwy::hwy: Debian's Highway has a pkg-config file and no CMake package.
if(NOT TARGET hwy::hwy)
  find_package(PkgConfig REQUIRED)
  pkg_check_modules(HWY REQUIRED libhwy)
  find_library(INGOT_HWY_LIBRARY hwy HINTS ${HWY_LIBRARY_DIRS} REQUIRED)
  add_library(hwy::hwy INTERFACE IMPORTED)
  target_include_directories(hwy::hwy INTERFACE ${HWY_INCLUDE_DIRS})
  target_link_libraries(hwy::hwy INTERFACE ${INGOT_HWY_LIBRARY})
endif()
