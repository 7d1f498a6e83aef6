# Tests that are not a room's own: scripts, the installed package and the examples.

# A script, one ctest entry: ingot_script_test(NAME COMMAND program arguments...)
function(ingot_script_test name)
  cmake_parse_arguments(TEST "" "" "COMMAND" ${ARGN})
  add_test(NAME ${name} COMMAND ${TEST_COMMAND} WORKING_DIRECTORY ${CMAKE_BINARY_DIR})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${INGOT_TEST_SECONDS}
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
  ingot_script_test(examples
                    COMMAND Python3::Interpreter ${CMAKE_SOURCE_DIR}/tests/examples_test.py)
  if(TARGET ingot)
    ingot_script_test(end_to_end COMMAND Python3::Interpreter
                      ${CMAKE_SOURCE_DIR}/tests/end_to_end/end_to_end_test.py)
    ingot_script_test(distributed COMMAND Python3::Interpreter
                      ${CMAKE_SOURCE_DIR}/tests/distributed/distributed_test.py)
    ingot_script_test(launchers COMMAND Python3::Interpreter
                      ${CMAKE_SOURCE_DIR}/tests/distributed/launchers_test.py)
  endif()
  if(TARGET ingot)
    # The Python of .venv-onnx, where somebody made it, has the peers.
    find_program(INGOT_PEERS_PYTHON python3 PATHS ${CMAKE_SOURCE_DIR}/.venv-onnx/bin
                 NO_DEFAULT_PATH)
    if(NOT INGOT_PEERS_PYTHON)
      set(INGOT_PEERS_PYTHON ${Python3_EXECUTABLE})
    endif()
    ingot_script_test(onnx_peers COMMAND ${INGOT_PEERS_PYTHON}
                      ${CMAKE_SOURCE_DIR}/tests/onnx/peers_test.py $<TARGET_FILE:ingot>)
    set_tests_properties(onnx_peers PROPERTIES SKIP_RETURN_CODE 77)
    find_program(INGOT_TENSORBOARD_PYTHON python3 PATHS ${CMAKE_SOURCE_DIR}/.venv-tensorboard/bin
                 NO_DEFAULT_PATH)
    if(NOT INGOT_TENSORBOARD_PYTHON)
      set(INGOT_TENSORBOARD_PYTHON ${Python3_EXECUTABLE})
    endif()
    ingot_script_test(tensorboard COMMAND ${INGOT_TENSORBOARD_PYTHON}
                      ${CMAKE_SOURCE_DIR}/tests/tensorboard/tensorboard_test.py)
    set_tests_properties(tensorboard PROPERTIES SKIP_RETURN_CODE 77)
  endif()
  if(TARGET ingot-serve)
    ingot_script_test(serve COMMAND Python3::Interpreter ${CMAKE_SOURCE_DIR}/tests/serve/run.py)
  endif()
  # What ./dev conformance runs.
  if(TARGET ingot_infer)
    add_executable(ingot_conformance ${CMAKE_SOURCE_DIR}/tests/conformance/conformance.cc)
    target_link_libraries(ingot_conformance PRIVATE ingot_infer ingot_flags)
    set_target_properties(ingot_conformance PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
  endif()
  if(NOT INGOT_SANITIZE)  # its flags do not reach a program that links the package
    ingot_script_test(install COMMAND Python3::Interpreter
      ${CMAKE_SOURCE_DIR}/tests/install/install_test.py
      ${CMAKE_BINARY_DIR} ${CMAKE_SOURCE_DIR} ${CMAKE_CXX_COMPILER})
  endif()
endfunction()

# The examples' programs, which are projects of their own too, built against the tree.
function(ingot_example name source)
  add_executable(${name} ${CMAKE_SOURCE_DIR}/examples/${source})
  target_link_libraries(${name} PRIVATE ingot::ingot ingot_flags)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
endfunction()

function(ingot_examples)
  if(TARGET ingot_passes)
    ingot_example(squared_relu custom_op/squared_relu.cc)
  endif()
  if(TARGET ingot_train AND EXISTS ${CMAKE_SOURCE_DIR}/examples/cpp/mnist.cc)
    ingot_example(mnist_example cpp/mnist.cc)
  endif()
  if(TARGET ingot_infer AND EXISTS ${CMAKE_SOURCE_DIR}/src/ingot/infer/session.cc)
    ingot_example(run_model_example cpp/run_model.cc)
  endif()
endfunction()
