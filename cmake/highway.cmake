# The target hwy::hwy: Debian's Highway has a pkg-config file and no CMake package. And the instruction
# sets that kernels are compiled for.
if(NOT TARGET hwy::hwy)
  find_package(PkgConfig REQUIRED)
  pkg_check_modules(HWY REQUIRED libhwy)
  find_library(INGOT_HWY_LIBRARY hwy HINTS ${HWY_LIBRARY_DIRS} REQUIRED)
  add_library(hwy::hwy INTERFACE IMPORTED)
  target_include_directories(hwy::hwy INTERFACE ${HWY_INCLUDE_DIRS})
  target_link_libraries(hwy::hwy INTERFACE ${INGOT_HWY_LIBRARY})
endif()

# Each instruction set costs as much time to build as the others, so some are left out: SSSE3, since
# every CPU since 2008 that has it has SSE4, too; in a sanitized build, those that differ from a checked
# one in the width of a vector alone, or that this machine cannot run.
function(ingot_instruction_sets target)
  set(left_out HWY_SSSE3)
  if(INGOT_SANITIZE)
    string(APPEND left_out |HWY_SSE4)
    file(READ /proc/cpuinfo processor LIMIT 4096)
    if(NOT processor MATCHES " avx512vl ")
      string(APPEND left_out |HWY_AVX3|HWY_AVX3_DL)
    endif()
  endif()
  target_compile_definitions(${target} PUBLIC $<BUILD_INTERFACE:HWY_DISABLED_TARGETS=${left_out}>)
endfunction()
