# Classes for ONNX's files, made by protoc from the definition in .deps/onnx (which ./dev setup takes
# from the `onnx` package). The package is renamed, so that a process may hold ONNX's own classes too.
find_package(Protobuf REQUIRED)
set(INGOT_ONNX_DEFINITION ${CMAKE_SOURCE_DIR}/.deps/onnx/onnx-ml.proto)
if(NOT EXISTS ${INGOT_ONNX_DEFINITION})
  message(FATAL_ERROR "${INGOT_ONNX_DEFINITION} is missing: run ./dev setup")
endif()
set(folder ${CMAKE_BINARY_DIR}/generated/onnx_proto)
file(READ ${INGOT_ONNX_DEFINITION} definition)
string(REGEX REPLACE "\npackage onnx;"
       "\npackage ingot.onnx_proto;" definition "${definition}")
file(GENERATE OUTPUT ${folder}/onnx_model.proto CONTENT "${definition}")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${INGOT_ONNX_DEFINITION})
add_custom_command(
  OUTPUT ${folder}/onnx_model.pb.cc ${folder}/onnx_model.pb.h
  COMMAND protobuf::protoc --cpp_out=${folder} -I${folder} ${folder}/onnx_model.proto
  DEPENDS ${folder}/onnx_model.proto)
add_library(ingot_onnx_proto STATIC ${folder}/onnx_model.pb.cc ${folder}/onnx_model.pb.h)
target_include_directories(ingot_onnx_proto SYSTEM PUBLIC
  $<BUILD_INTERFACE:${CMAKE_BINARY_DIR}/generated>)
target_link_libraries(ingot_onnx_proto PUBLIC protobuf::libprotobuf-lite)
target_compile_options(ingot_onnx_proto PRIVATE $<$<CONFIG:Release>:-O2> -w)
if(INGOT_SANITIZE)
  target_compile_options(ingot_onnx_proto PRIVATE -fsanitize=${INGOT_SANITIZE})
endif()
set_target_properties(ingot_onnx_proto PROPERTIES EXPORT_NAME onnx_proto)
