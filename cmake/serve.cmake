# The server, an optional part: INGOT_SERVE is ON where Boost, OpenSSL, nghttp2 and protobuf are found.
# ingot_serve_protocol() makes the messages of the inference protocol from src/ingot/serve/proto.
find_package(Python3 COMPONENTS Interpreter QUIET)
set(INGOT_SERVE ON)
set(missing "")
find_package(Boost 1.74 QUIET)
if(NOT Boost_FOUND)
  list(APPEND missing Boost)
endif()
find_package(OpenSSL 1.1 QUIET)
if(NOT OPENSSL_FOUND)
  list(APPEND missing OpenSSL)
endif()
find_package(Protobuf 3.12 QUIET)
if(NOT Protobuf_FOUND OR NOT TARGET protobuf::protoc)
  list(APPEND missing protobuf)
endif()
find_path(INGOT_NGHTTP2_INCLUDE nghttp2/nghttp2.h)
find_library(INGOT_NGHTTP2_LIBRARY nghttp2)
if(NOT INGOT_NGHTTP2_INCLUDE OR NOT INGOT_NGHTTP2_LIBRARY)
  list(APPEND missing nghttp2)
endif()
if(missing)
  set(INGOT_SERVE OFF)
  list(JOIN missing ", " missing)
  message(STATUS "Without ingot serve and ingot client: ${missing} not found (./dev setup installs them)")
endif()

function(ingot_serve_protocol)
  set(from ${CMAKE_SOURCE_DIR}/src/ingot/serve/proto)
  set(to ${CMAKE_BINARY_DIR}/generated/ingot/serve/proto)
  file(MAKE_DIRECTORY ${to})
  set(files model_config grpc_service health reflection)
  set(inputs "")
  set(outputs "")
  set(sources "")
  foreach(file IN LISTS files)
    list(APPEND inputs ${from}/${file}.proto)
    list(APPEND outputs ${to}/${file}.pb.cc ${to}/${file}.pb.h)
    list(APPEND sources ${to}/${file}.pb.cc)
  endforeach()
  add_custom_command(OUTPUT ${outputs} DEPENDS ${inputs}
    COMMAND protobuf::protoc -I${from} --cpp_out=${to} ${inputs}
    COMMENT "Messages of the inference protocol" VERBATIM)
  add_library(ingot_serve_messages ${sources})
  target_include_directories(ingot_serve_messages PUBLIC ${CMAKE_BINARY_DIR}/generated)
  target_compile_options(ingot_serve_messages PRIVATE -O0 -w)
  if(INGOT_SANITIZE)
    target_compile_options(ingot_serve_messages PRIVATE -fsanitize=${INGOT_SANITIZE})
  endif()
  target_link_libraries(ingot_serve_messages PUBLIC protobuf::libprotobuf)
  add_library(ingot_serve_network INTERFACE)
  target_include_directories(ingot_serve_network SYSTEM INTERFACE ${INGOT_NGHTTP2_INCLUDE})
  target_link_libraries(ingot_serve_network INTERFACE ingot_serve_messages Boost::headers
    OpenSSL::SSL OpenSSL::Crypto ${INGOT_NGHTTP2_LIBRARY} ZLIB::ZLIB nlohmann_json::nlohmann_json)
  target_compile_definitions(ingot_serve_network INTERFACE BOOST_ASIO_SEPARATE_COMPILATION
    BOOST_BEAST_SEPARATE_COMPILATION BOOST_ASIO_NO_DEPRECATED)
endfunction()

# Files that the server ships inside: the generated header names each and holds its bytes.
function(ingot_serve_files)
  file(GLOB files CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/ingot/serve/web/*.html
       ${CMAKE_SOURCE_DIR}/src/ingot/serve/web/*.css ${CMAKE_SOURCE_DIR}/src/ingot/serve/web/*.js
       ${CMAKE_SOURCE_DIR}/src/ingot/serve/web/*.json)
  set(out ${CMAKE_BINARY_DIR}/generated/ingot/serve/embedded_files.inc)
  set(assembly ${CMAKE_BINARY_DIR}/generated/ingot/serve/embedded_files.cc)
  add_custom_command(OUTPUT ${assembly}
    DEPENDS ${files} ${CMAKE_SOURCE_DIR}/cmake/embed.py
    COMMAND Python3::Interpreter ${CMAKE_SOURCE_DIR}/cmake/embed.py ${assembly} ${files}
    COMMENT "Files inside the server" VERBATIM)
  add_library(ingot_serve_embedded ${assembly})
  target_include_directories(ingot_serve_embedded PRIVATE ${CMAKE_SOURCE_DIR}/src)
endfunction()

# The program ingot-serve, which `ingot serve` and `ingot client` start.
function(ingot_serve_program)
  add_executable(ingot-serve ${CMAKE_SOURCE_DIR}/src/ingot/server/main.cc)
  target_link_libraries(ingot-serve PRIVATE ingot_server ingot_flags)
  set_target_properties(ingot-serve PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
  add_dependencies(ingot ingot-serve)
  install(FILES ${CMAKE_SOURCE_DIR}/packaging/systemd/ingot-serve.service
                ${CMAKE_SOURCE_DIR}/packaging/systemd/ingot-serve.socket
          DESTINATION lib/systemd/system COMPONENT runtime)
  install(TARGETS ingot-serve RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT runtime)
endfunction()
