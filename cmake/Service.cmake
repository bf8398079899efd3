# The service: a program of its own, without LibTorch, so that it stays small and starts at once; what needs the engine
# it asks of `thalweg`.
find_package(SQLite3 REQUIRED)

# Of engine/core what knows nothing of tensors.
set(_core base64 file json names natural_order path process sha256 sha256_blocks text)
list(TRANSFORM _core PREPEND "${PROJECT_SOURCE_DIR}/engine/core/")
list(TRANSFORM _core APPEND ".cpp")
file(GLOB_RECURSE _sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/pipelines/service/*.cpp")
list(FILTER _sources EXCLUDE REGEX "/service/main\\.cpp$")
add_library(thalweg_service STATIC ${_sources} ${_core})
target_include_directories(thalweg_service PUBLIC "${PROJECT_SOURCE_DIR}")
target_compile_definitions(thalweg_service PUBLIC THALWEG_VERSION="${PROJECT_VERSION}")
# Boost 1.74's awaitable.hpp uses std::exchange without including it.
# GCC 12 takes the frame of a coroutine for an object of another allocator.
target_compile_options(thalweg_service PRIVATE -include utility -Wno-mismatched-new-delete)
# As in Precompiled.cmake: sources must not lean on it.
target_precompile_headers(thalweg_service PRIVATE
  <utility> <functional> <map> <memory> <optional> <string> <vector> <nlohmann/json.hpp> <boost/asio/awaitable.hpp>
  <boost/asio/co_spawn.hpp> <boost/asio/detached.hpp> <boost/asio/io_context.hpp> <boost/asio/redirect_error.hpp>
  <boost/asio/steady_timer.hpp> <boost/asio/use_awaitable.hpp>)
target_link_libraries(thalweg_service PUBLIC nlohmann_json::nlohmann_json Boost::headers SQLite::SQLite3 CLI11::CLI11
                                             Threads::Threads)
foreach(_file page.html:kPage page.css:kPageStyle chart.js:kChartScript client.js:kClientScript form.js:kFormScript page.js:kPageScript)
  string(REPLACE ":" ";" _pair ${_file})
  list(GET _pair 0 _name)
  list(GET _pair 1 _variable)
  thalweg_embed(thalweg_service pipelines/service/page/${_name} thalweg::service::${_variable} pipelines/service/page/page.h)
endforeach()
thalweg_embed(thalweg_service pipelines/service/api/schemas.json thalweg::service::kSchemas pipelines/service/api/openapi.h)
thalweg_embed(thalweg_service pipelines/service/api/method_types.json thalweg::service::kMethodTypes
              pipelines/service/api/fine_tuning.h)

add_executable(thalweg-service "${PROJECT_SOURCE_DIR}/pipelines/service/main.cpp")
target_link_libraries(thalweg-service PRIVATE thalweg_service)
set_target_properties(thalweg-service PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}")
