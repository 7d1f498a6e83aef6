# Headers that nearly every source includes, read once for each optimisation instead of once a source.
# Only where units are: where each file is compiled by itself (INGOT_UNITS=OFF, the targets TARGET_files,
# Clang), a file that lacks an include of its own is found out.
#
#   ingot_precompiled(TARGET OPTIMIZE [TESTS] [ALONE source...])
#     TESTS  a program of tests, which reads GoogleTest, too
#     ALONE  sources with an optimisation of their own, which cannot use what TARGET's was made for
set(INGOT_PRECOMPILED <algorithm> <array> <atomic> <charconv> <chrono> <cmath> <condition_variable>
    <cstdint> <cstring> <filesystem> <fstream> <functional> <map> <memory> <mutex> <numeric> <optional>
    <set> <span> <sstream> <string> <string_view> <thread> <unordered_map> <utility> <variant> <vector>)
set(INGOT_PRECOMPILED_TESTS ${INGOT_PRECOMPILED} <gmock/gmock.h> <gtest/gtest.h>)

# ccache takes a precompiled header for what it was made from.
if(INGOT_CCACHE AND CMAKE_CXX_COMPILER_LAUNCHER STREQUAL INGOT_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER
      ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${INGOT_CCACHE})
endif()

function(ingot_precompiled target optimize)
  cmake_parse_arguments(HERE "TESTS" "" "ALONE" ${ARGN})
  if(NOT INGOT_UNITS OR NOT CMAKE_CXX_COMPILER_ID STREQUAL GNU OR INGOT_SANITIZE)
    return()
  endif()
  set(headers ${INGOT_PRECOMPILED})
  set(name ingot_headers${optimize})
  if(HERE_TESTS)
    set(headers ${INGOT_PRECOMPILED_TESTS})
    set(name ingot_headers_tests)
  endif()
  if(NOT TARGET ${name})
    set(source ${CMAKE_BINARY_DIR}/generated/units/${name}.cc)
    file(CONFIGURE OUTPUT ${source} CONTENT "// What needs the precompiled headers to exist.\n")
    add_library(${name} OBJECT ${source})
    target_link_libraries(${name} PRIVATE ingot_flags)
    if(HERE_TESTS)
      target_link_libraries(${name} PRIVATE GTest::gmock)
      set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
      target_compile_options(${name} PRIVATE -fPIE)  # as programs are compiled
    endif()
    target_compile_options(${name} PRIVATE $<$<CONFIG:Release>:${optimize}>)
    target_precompile_headers(${name} PRIVATE ${headers})
  endif()
  target_precompile_headers(${target} REUSE_FROM ${name})
  target_compile_options(${target} PRIVATE -Wno-error=invalid-pch)  # slower, but not wrong
  if(HERE_ALONE)
    set_source_files_properties(${HERE_ALONE} PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
  endif()
endfunction()
