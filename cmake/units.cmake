# Units: several sources of one target compiled together, since headers and what they instantiate cost
# more than half of the time of most files. A unit is a generated file that includes its sources by
# their paths below src/, the same in every clone, so that ccache finds it again.
#
#   ingot_units(OUT TARGET COUNT SOURCES source... [TOGETHER regex...] [VECTORS regex...]
#               [ALONE regex] [OPTIMIZE option])
#     COUNT     how many units; a source belongs to one of them by a hash of its path, so that adding
#               a file changes one unit and moves nothing
#     TOGETHER  sources that match have a unit of their own, one for each expression: those that share
#               costly headers
#     VECTORS   likewise for sources that Highway compiles for every instruction set. Such a source
#               defines HWY_TARGET_INCLUDE only where its unit has not; others of the kind are alone
#     ALONE     sources that match are compiled by themselves
#     OPTIMIZE  the optimisation they are compiled with
#
# Two sources of one unit cannot use the same name in their unnamed namespaces: where the compiler
# reports a redefinition, give one of them a name that says more. With INGOT_UNITS=OFF every file is
# compiled by itself, which is quicker where one file is edited again and again. Each target TARGET_files,
# which nothing builds unless asked, compiles the files one by one: it shows that each includes what
# it needs, and its commands are the ones that clang-tidy reads.
# Clang, which the sanitizers and the fuzz targets use, compiles each file by itself unless asked.
set(units OFF)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  set(units ON)
endif()
option(INGOT_UNITS "Compile several files together, which halves the time of a clean build" ${units})

# Those of the sources that Highway compiles for every instruction set.
function(ingot_vector_sources out)
  set(found "")
  foreach(source IN LISTS ARGN)
    file(STRINGS ${source} line REGEX "hwy/foreach_target.h" LIMIT_COUNT 1)
    if(line)
      list(APPEND found ${source})
    endif()
  endforeach()
  set(${out} ${found} PARENT_SCOPE)
endfunction()

function(ingot_units out target count)
  cmake_parse_arguments(UNIT "" "ALONE;OPTIMIZE" "SOURCES;TOGETHER;VECTORS" ${ARGN})
  if(NOT INGOT_UNITS OR count EQUAL 0)
    set(${out} ${UNIT_SOURCES} PARENT_SCOPE)
    return()
  endif()
  set(result "")
  set(names "")
  foreach(source IN LISTS UNIT_SOURCES)
    file(RELATIVE_PATH path ${CMAKE_SOURCE_DIR}/src ${source})
    string(MD5 hash ${path})
    string(SUBSTRING ${hash} 0 7 hash)
    math(EXPR unit "0x${hash} % ${count}")
    foreach(kind IN ITEMS TOGETHER VECTORS)
      set(number 0)
      foreach(expression IN LISTS UNIT_${kind})
        math(EXPR number "${number} + 1")
        if(path MATCHES "${expression}")
          string(TOLOWER "${kind}${number}" unit)
        endif()
      endforeach()
    endforeach()
    set(alone FALSE)
    if(UNIT_ALONE AND path MATCHES "${UNIT_ALONE}")
      set(alone TRUE)
    elseif(UNIT_VECTORS AND NOT unit MATCHES "^vectors")
      ingot_vector_sources(alone ${source})
    endif()
    if(alone)
      list(APPEND result ${source})
      continue()
    endif()
    list(APPEND names ${unit})
    string(APPEND text_${unit} "#include \"${path}\"\n")
  endforeach()
  list(REMOVE_DUPLICATES names)
  foreach(unit IN LISTS names)
    set(name units/${target}_${unit}.cc)
    set(file ${CMAKE_BINARY_DIR}/generated/${name})
    if(unit MATCHES "^vectors")
      string(PREPEND text_${unit} "#undef HWY_TARGET_INCLUDE\n#define HWY_TARGET_INCLUDE \"${name}\"\n"
                                  "#include \"hwy/foreach_target.h\"\n")
    endif()
    file(CONFIGURE OUTPUT ${file} CONTENT "${text_${unit}}" @ONLY)
    if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
      # A unit's sources are headers to GCC, which warns of types in unnamed namespaces there.
      set(options -Wno-subobject-linkage)
      if(UNIT_OPTIMIZE MATCHES "-O[23]")  # GCC inlines less in long units: not for that reason
        list(APPEND options --param=large-unit-insns=1000000)
      endif()
      set_source_files_properties(${file} PROPERTIES COMPILE_OPTIONS "${options}")
    endif()
    list(APPEND result ${file})
  endforeach()
  set(${out} ${result} PARENT_SCOPE)
endfunction()

# The target TARGET_files, once TARGET's options are set.
function(ingot_files_of target)
  cmake_parse_arguments(FILES "" "" "SOURCES" ${ARGN})
  if(NOT INGOT_UNITS)
    return()
  endif()
  add_library(${target}_files OBJECT EXCLUDE_FROM_ALL ${FILES_SOURCES})
  foreach(property INCLUDE_DIRECTORIES COMPILE_OPTIONS COMPILE_DEFINITIONS LINK_LIBRARIES)
    get_target_property(value ${target} ${property})
    if(value)
      set_target_properties(${target}_files PROPERTIES ${property} "${value}")
    endif()
  endforeach()
  target_link_libraries(${target}_files PRIVATE ${target})  # for what is added to it later
endfunction()
