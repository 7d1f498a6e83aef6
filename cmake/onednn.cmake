# oneDNN, an optional part: INGOT_ONEDNN is ON where version 3.2 or later is found, in .deps/ (where
# ./dev puts it) or on the system, and then the target ingot::onednn_library is there to link.
find_package(dnnl 3.2 CONFIG QUIET HINTS ${CMAKE_SOURCE_DIR}/.deps/onednn
             /opt/intel/oneapi/dnnl/latest)
if(dnnl_FOUND AND TARGET DNNL::dnnl)
  set(INGOT_ONEDNN ON)
  add_library(ingot_onednn_library INTERFACE)
  add_library(ingot::onednn_library ALIAS ingot_onednn_library)
  target_link_libraries(ingot_onednn_library INTERFACE DNNL::dnnl)
else()
  set(INGOT_ONEDNN OFF)
endif()
