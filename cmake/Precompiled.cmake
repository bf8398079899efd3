# One precompiled header for every target that uses LibTorch: ATen alone costs 5 s a file without it.
set(_source "${PROJECT_BINARY_DIR}/precompiled.cpp")
if(NOT EXISTS "${_source}")
  file(WRITE "${_source}" "// Only here to carry the precompiled header.\n")
endif()
add_library(thalweg_precompiled STATIC "${_source}")
target_link_libraries(thalweg_precompiled PUBLIC thalweg::torch nlohmann_json::nlohmann_json)
target_precompile_headers(thalweg_precompiled PRIVATE
  <algorithm> <array> <chrono> <cmath> <cstdint> <cstring> <filesystem> <fstream> <functional> <map> <memory>
  <mutex> <optional> <sstream> <stdexcept> <string> <string_view> <thread> <unordered_map> <utility> <variant>
  <vector> <ATen/ATen.h> <torch/csrc/autograd/autograd.h> <nlohmann/json.hpp>)

# Sources must not lean on it: every file still includes what it uses.
function(thalweg_use_precompiled target)
  target_precompile_headers(${target} REUSE_FROM thalweg_precompiled)
endfunction()
