# Tests that are not a room's own: scripts, the installed package and the examples.

# A script, one ctest entry: ingot_script_test(NAME COMMAND program arguments...)
function(ingot_script_test name)
  cmake_parse_arguments(TEST "" "" "COMMAND" ${ARGN})
  add_test(NAME ${name} COMMAND ${TEST_COMMAND} WORKING_DIRECTORY ${CMAKE_BINARY_DIR})
  set_tests_properties(${name} PROPERTIES TIMEOUT 900
    ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1;INGOT_BINARY_DIR=${CMAKE_BINARY_DIR}")
endfunction()

function(ingot_other_tests)
  find_package(Python3 COMPONENTS Interpreter REQUIRED)
  set(architecture ${CMAKE_SOURCE_DIR}/tests/architecture)
  ingot_script_test(architecture COMMAND Python3::Interpreter ${architecture}/check.py)
  ingot_script_test(architecture_check_test
                    COMMAND Python3::Interpreter ${architecture}/check_test.py)
  ingot_script_test(count_results_test
                    COMMAND Python3::Interpreter ${CMAKE_SOURCE_DIR}/tests/count_results_test.py)
endfunction()
