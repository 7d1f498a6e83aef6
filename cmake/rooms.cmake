# A room is a folder of src/ingot (or FOLDER of src): every *.cc but tests, benchmarks and fuzz
# targets is its library ingot_NAME; every *_test.cc goes into the program ingot_NAME_test.
#   SEES     the rooms it may include from (transitively)
#   LINK     libraries outside the project
#   OPTIMIZE the optimisation of a release build: -O1 where nothing is hot, which halves the time to
#            build, -Og where nobody would notice; -O2 or -O3 where it is hot
#   HOT      sources that match are compiled by themselves, with -O3
#   HEAVY    its sources that Highway compiles for every instruction set do most of the arithmetic.
#            Under the address sanitizer the library has them as they are released, since unoptimised
#            they are a hundred times slower; the room's own tests have them sanitized
#   UNITS    how many units its sources are compiled in (cmake/units.cmake); 0: each file by itself
#   TOGETHER, VECTORS, ALONE  as cmake/units.cmake says
#   FAMILIES, VERBS  its sub-folder families/ or verbs/ holds one source for each op family or verb;
#            the list of their registration functions is generated, so that adding one touches one place
#
# A room whose folder has no source yet is skipped.
set(INGOT_ROOMS "")
include(${CMAKE_CURRENT_LIST_DIR}/install.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/tests.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/units.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/precompiled.cmake)
if(INGOT_TESTS)
  enable_testing()
endif()

# Rooms whose tests run under the thread sanitizer: engine, pool, data and checkpoints.
set(INGOT_THREAD_ROOMS base runtime compiler data train)

function(ingot_generate_list room folder function_prefix)
  file(GLOB sources CONFIGURE_DEPENDS ${folder}/*.cc)
  list(FILTER sources EXCLUDE REGEX "_(test|benchmark|fuzz)\\.cc$")
  set(declarations "")
  foreach(source IN LISTS sources)
    get_filename_component(stem ${source} NAME_WE)
    string(REPLACE "_" ";" words ${stem})
    set(camel "")
    foreach(word IN LISTS words)
      string(SUBSTRING ${word} 0 1 first)
      string(TOUPPER ${first} first)
      string(SUBSTRING ${word} 1 -1 rest)
      string(APPEND camel "${first}${rest}")
    endforeach()
    string(APPEND declarations "INGOT_DECLARE(${function_prefix}${camel})\n")
  endforeach()
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/ingot/${room}/generated_list.inc
       CONTENT "${declarations}" @ONLY)
endfunction()

# The objects TARGET_unsanitized, for a library TARGET.
function(ingot_unsanitized target)
  cmake_parse_arguments(HERE "" "" "SOURCES;LINK" ${ARGN})
  add_library(${target}_unsanitized OBJECT ${HERE_SOURCES})
  target_include_directories(${target}_unsanitized PRIVATE ${CMAKE_SOURCE_DIR}/src)
  target_compile_definitions(${target}_unsanitized PRIVATE
                             $<TARGET_PROPERTY:${target},INTERFACE_COMPILE_DEFINITIONS>)
  target_compile_options(${target}_unsanitized PRIVATE -O2 -ffp-contract=off)
  list(TRANSFORM HERE_LINK REPLACE "^([a-z]+)$" "ingot_\\1")
  target_link_libraries(${target}_unsanitized PRIVATE ${HERE_LINK})
endfunction()

function(ingot_room name)
  cmake_parse_arguments(ROOM "FAMILIES;VERBS;HEAVY" "FOLDER;OPTIMIZE;UNITS;ALONE;HOT"
                        "SEES;LINK;TOGETHER;VECTORS" ${ARGN})
  # Sanitized, code is optimised only as far as that is quick to compile: Clang takes minutes of -O1
  # for one file of kernels, and seconds of -O0.
  if(INGOT_SANITIZE AND ROOM_OPTIMIZE STREQUAL "-O3")
    set(ROOM_OPTIMIZE -O0)
  elseif(NOT ROOM_OPTIMIZE OR INGOT_SANITIZE)
    set(ROOM_OPTIMIZE -O1)
  endif()
  if(NOT ROOM_FOLDER)
    set(ROOM_FOLDER ingot/${name})
  endif()
  set(folder ${CMAKE_SOURCE_DIR}/src/${ROOM_FOLDER})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${folder}/*.cc)
  set(tests ${sources})
  set(benchmarks ${sources})
  set(fuzzers ${sources})
  list(FILTER sources EXCLUDE REGEX "(_(test|benchmark|fuzz)|/main)\\.cc$")
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  list(FILTER benchmarks INCLUDE REGEX "_benchmark\\.cc$")
  list(FILTER fuzzers INCLUDE REGEX "_fuzz\\.cc$")
  if(NOT sources)
    return()
  endif()
  if(ROOM_FAMILIES)
    ingot_generate_list(${name} ${folder}/families Register)
  elseif(ROOM_VERBS)
    ingot_generate_list(${name} ${folder}/verbs Add)
  endif()

  set(files ${sources})
  set(heavy "")
  if(ROOM_HEAVY AND INGOT_SANITIZE MATCHES "address")
    ingot_vector_sources(heavy ${sources})
    list(REMOVE_ITEM sources ${heavy})
    ingot_unsanitized(ingot_${name} SOURCES ${heavy} LINK ${ROOM_SEES} ${ROOM_LINK})
  endif()
  if(NOT DEFINED ROOM_UNITS)
    set(ROOM_UNITS 1)
  endif()
  set(hot "")
  set(alone ${ROOM_ALONE} ${ROOM_HOT})
  list(JOIN alone "|" alone)
  ingot_units(units ingot_${name} ${ROOM_UNITS} SOURCES ${sources} TOGETHER ${ROOM_TOGETHER}
              VECTORS ${ROOM_VECTORS} ALONE "${alone}" OPTIMIZE ${ROOM_OPTIMIZE})
  if(ROOM_HOT AND NOT INGOT_SANITIZE)
    set(hot ${sources})
    list(FILTER hot INCLUDE REGEX "${ROOM_HOT}")
    set_source_files_properties(${hot} PROPERTIES COMPILE_OPTIONS $<$<CONFIG:Release>:-O3>)
  endif()
  if(heavy)
    list(APPEND units $<TARGET_OBJECTS:ingot_${name}_unsanitized>)
  endif()
  add_library(ingot_${name} ${units})
  add_library(ingot::${name} ALIAS ingot_${name})
  target_include_directories(ingot_${name} PUBLIC
    $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/src> $<INSTALL_INTERFACE:include>)
  target_include_directories(ingot_${name} PRIVATE ${CMAKE_BINARY_DIR}/generated)
  target_link_libraries(ingot_${name} PRIVATE $<BUILD_INTERFACE:ingot_flags>)
  target_compile_options(ingot_${name} PRIVATE $<$<CONFIG:Release>:${ROOM_OPTIMIZE}>)
  ingot_precompiled(ingot_${name} "${ROOM_OPTIMIZE}" ALONE ${hot})
  foreach(below IN LISTS ROOM_SEES)
    if(TARGET ingot_${below})
      target_link_libraries(ingot_${name} PUBLIC ingot_${below})
    endif()
  endforeach()
  target_link_libraries(ingot_${name} PUBLIC ${ROOM_LINK})
  ingot_files_of(ingot_${name} SOURCES ${files})
  set_property(GLOBAL APPEND PROPERTY INGOT_ROOMS ${name})

  if(INGOT_TESTS AND tests)
    ingot_test_program(ingot_${name}_test SOURCES ${tests} ${heavy} LINK ingot_${name})
  endif()
  if(INGOT_BENCHMARKS AND benchmarks)
    add_executable(ingot_${name}_benchmark ${benchmarks})
    target_link_libraries(ingot_${name}_benchmark PRIVATE ingot_${name} ingot_flags benchmark::benchmark_main)
  endif()
  if(INGOT_FUZZ)
    foreach(fuzzer IN LISTS fuzzers)
      get_filename_component(stem ${fuzzer} NAME_WE)
      add_executable(${stem} ${fuzzer})
      target_link_libraries(${stem} PRIVATE ingot_${name} ingot_flags)
      target_link_options(${stem} PRIVATE -fsanitize=fuzzer)
      set_target_properties(${stem} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
    endforeach()
  endif()
endfunction()

# A GoogleTest program and its ctest entry; it leaves a report of its cases in reports/NAME.json,
# which tests/count_results.py sums up.
function(ingot_test_program name)
  cmake_parse_arguments(TEST "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${TEST_SOURCES})
  target_include_directories(${name} PRIVATE ${CMAKE_BINARY_DIR}/generated)
  target_link_libraries(${name} PRIVATE ${TEST_LINK} ingot_flags GTest::gmock GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE INGOT_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
                                             INGOT_BINARY_DIR="${CMAKE_BINARY_DIR}")
  ingot_precompiled(${name} "" TESTS)
  set_property(GLOBAL APPEND PROPERTY INGOT_TEST_PROGRAMS ${name})
  add_test(NAME ${name} COMMAND ${name} --gtest_brief=1
           --gtest_output=json:${CMAKE_BINARY_DIR}/reports/${name}.json
           WORKING_DIRECTORY ${CMAKE_BINARY_DIR})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${INGOT_TEST_SECONDS})
endfunction()

# The target ingot_thread_tests and the ctest label "threads".
function(ingot_label_thread_tests)
  add_custom_target(ingot_thread_tests)
  foreach(room IN LISTS INGOT_THREAD_ROOMS)
    if(TARGET ingot_${room}_test)
      add_dependencies(ingot_thread_tests ingot_${room}_test)
      set_tests_properties(ingot_${room}_test PROPERTIES LABELS threads)
    endif()
  endforeach()
endfunction()

function(ingot_finish)
  if(TARGET ingot_cli AND EXISTS ${CMAKE_SOURCE_DIR}/src/ingot/cli/main.cc)
    add_executable(ingot ${CMAKE_SOURCE_DIR}/src/ingot/cli/main.cc)
    target_link_libraries(ingot PRIVATE ingot_cli ingot_flags)
    set_target_properties(ingot PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
    get_property(transports GLOBAL PROPERTY INGOT_TRANSPORTS)
    if(transports)
      add_dependencies(ingot ${transports})
    endif()
  endif()
  if(TARGET ingot AND TARGET ingot_server)
    ingot_serve_program()
  endif()
  ingot_umbrella()
  ingot_c_library()
  ingot_install()
  if(INGOT_TESTS)
    ingot_label_thread_tests()
    ingot_examples()
    ingot_other_tests()
  endif()
endfunction()
