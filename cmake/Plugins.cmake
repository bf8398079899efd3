# Reward plugins: each folder of plugins/ becomes the module plugins/<folder>.so beside the program. A folder with a
# CMakeLists.txt of its own builds itself, with thalweg_plugin() and the LINK that it needs.
add_library(thalweg_plugin_headers INTERFACE)
target_include_directories(thalweg_plugin_headers INTERFACE "${PROJECT_SOURCE_DIR}/plugins/include")
add_custom_target(plugins COMMENT "All reward plugins")
set(_exports "${PROJECT_SOURCE_DIR}/plugins/include/thalweg/exports.map")

# thalweg_plugin(name [FOLDER folder] [TEST] [LINK targets...]): a module of all sources in the folder, that exports
# its entry and nothing else. TEST puts it beside the tests, not among the plugins of the program.
function(thalweg_plugin name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "TEST" "FOLDER" "LINK")
  if(NOT arg_FOLDER)
    set(arg_FOLDER "${PROJECT_SOURCE_DIR}/plugins/${name}")
  endif()
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS "${arg_FOLDER}/*.c" "${arg_FOLDER}/*.cpp")
  if(NOT sources)
    return()
  endif()
  set(target plugin_${name})
  set(output "${PROJECT_BINARY_DIR}/plugins")
  if(arg_TEST)
    set(target test_plugin_${name})
    set(output "${PROJECT_BINARY_DIR}/tests/plugins")
  endif()
  add_library(${target} MODULE ${sources})
  target_link_libraries(${target} PRIVATE thalweg_plugin_headers nlohmann_json::nlohmann_json ${arg_LINK})
  target_link_options(${target} PRIVATE "-Wl,--version-script=${_exports}" -Wl,-z,defs)
  set_target_properties(${target} PROPERTIES
    PREFIX "" OUTPUT_NAME ${name} LIBRARY_OUTPUT_DIRECTORY "${output}" LINK_DEPENDS "${_exports}"
    C_VISIBILITY_PRESET hidden CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
  if(NOT arg_LINK)
    set_target_properties(${target} PROPERTIES INSTALL_RPATH "")  # no LibTorch, so no way to it
  endif()
  if(NOT arg_TEST)
    add_dependencies(plugins ${target})
    install(TARGETS ${target} LIBRARY DESTINATION lib/thalweg/plugins)
  endif()
endfunction()

# The validator is a program for those who write plugins; it needs the headers alone.
file(GLOB_RECURSE _validator CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/plugins/validator/*.cpp")
if(_validator AND NOT EXISTS "${PROJECT_SOURCE_DIR}/plugins/validator/CMakeLists.txt")
  add_executable(thalweg-validator ${_validator})
  target_link_libraries(thalweg-validator PRIVATE thalweg_plugin_headers nlohmann_json::nlohmann_json
                                                  thalweg::boost_dll)
  set_target_properties(thalweg-validator PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}")
  install(TARGETS thalweg-validator RUNTIME DESTINATION bin)
endif()

file(GLOB _folders CONFIGURE_DEPENDS LIST_DIRECTORIES true "${PROJECT_SOURCE_DIR}/plugins/*")
foreach(_folder IN LISTS _folders)
  get_filename_component(_name "${_folder}" NAME)
  if(NOT IS_DIRECTORY "${_folder}" OR _name MATCHES "^(include|template)$")
    continue()
  elseif(EXISTS "${_folder}/CMakeLists.txt")
    add_subdirectory("${_folder}" "${PROJECT_BINARY_DIR}/plugins-build/${_name}")
  elseif(NOT _name STREQUAL "validator")
    thalweg_plugin(${_name})
  endif()
endforeach()
