# Compiler flags that every target shares, ccache and the sanitizers.
add_library(ingot_flags INTERFACE)
target_compile_options(ingot_flags INTERFACE -Wall -Wextra -Wpedantic -Werror)
# The same bits for everyone: no reassociation, no contraction that depends on the optimiser's mood.
target_compile_options(ingot_flags INTERFACE -ffp-contract=off)

if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(ingot_flags INTERFACE -Wno-psabi)
  # The compiler's garbage collector starts at a gigabyte, which saves a tenth of the time.
  target_compile_options(ingot_flags INTERFACE --param=ggc-min-heapsize=1048576)
  # GCC 12 reports overlapping copies inside std::string operator+ that cannot happen (GCC bug
  # 105651, mended in 13).
  if(CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    target_compile_options(ingot_flags INTERFACE -Wno-restrict)
  endif()
endif()

find_program(INGOT_CCACHE ccache)
if(INGOT_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${INGOT_CCACHE})
endif()

find_program(INGOT_MOLD mold)
if(INGOT_MOLD AND NOT INGOT_SANITIZE)
  add_link_options(-fuse-ld=mold)
endif()

if(INGOT_SANITIZE)
  target_compile_options(ingot_flags INTERFACE -fsanitize=${INGOT_SANITIZE} -fno-omit-frame-pointer -g1)
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    # GCC warns of the standard library's own code (std::regex) once it is instrumented.
    target_compile_options(ingot_flags INTERFACE -Wno-maybe-uninitialized)
  endif()
  target_link_options(ingot_flags INTERFACE -fsanitize=${INGOT_SANITIZE})
  if(INGOT_SANITIZE MATCHES "undefined")
    target_compile_options(ingot_flags INTERFACE -fno-sanitize-recover=all)
  endif()
endif()
if(INGOT_FUZZ)
  # Every room counts the edges it takes; only the fuzz programs link libFuzzer's main.
  target_compile_options(ingot_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
