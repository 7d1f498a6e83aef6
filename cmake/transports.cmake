# Transports: plugins that room dist loads when a job has more than one process, each skipped where
# its package is missing.
#   ingot_transport(NAME LINK library...)  builds src/transports/NAME as libingot_transport_NAME.so

function(ingot_transport name)
  cmake_parse_arguments(TRANSPORT "" "" "LINK" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/transports/${name}/*.cc)
  add_library(ingot_transport_${name} MODULE ${sources})
  target_include_directories(ingot_transport_${name} PRIVATE ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(ingot_transport_${name} PRIVATE ingot_flags ${TRANSPORT_LINK})
  target_compile_options(ingot_transport_${name} PRIVATE $<$<CONFIG:Release>:-O2>)
  set_target_properties(ingot_transport_${name} PROPERTIES CXX_VISIBILITY_PRESET hidden
                        LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
  set_property(GLOBAL APPEND PROPERTY INGOT_TRANSPORTS ingot_transport_${name})
  install(TARGETS ingot_transport_${name} LIBRARY DESTINATION lib/ingot COMPONENT ${name})
endfunction()

find_path(INGOT_GLOO_INCLUDE gloo/transport/tcp/device.h)
find_library(INGOT_GLOO_LIBRARY gloo)
if(INGOT_GLOO_INCLUDE AND INGOT_GLOO_LIBRARY)
  ingot_transport(gloo LINK ${INGOT_GLOO_LIBRARY} Threads::Threads)
else()
  message(STATUS "Gloo (libgloo-dev) was not found: jobs of several processes need it")
endif()

# Open MPI, for jobs that mpirun starts.
find_package(PkgConfig QUIET)
if(PkgConfig_FOUND)
  pkg_check_modules(INGOT_MPI QUIET IMPORTED_TARGET ompi-c)
endif()
if(INGOT_MPI_FOUND)
  ingot_transport(mpi LINK PkgConfig::INGOT_MPI ${CMAKE_DL_LIBS} Threads::Threads)
else()
  message(STATUS "Open MPI (libopenmpi-dev) was not found: under mpirun tensors go over Gloo")
endif()
