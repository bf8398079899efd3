# The program: build/<preset>/thalweg.
file(GLOB_RECURSE _sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/pipelines/cli/*.cpp")
if(_sources)
  add_executable(thalweg ${_sources})
  thalweg_use_precompiled(thalweg)
  target_link_libraries(thalweg PRIVATE thalweg_pipelines thalweg_validator CLI11::CLI11)
  target_compile_definitions(thalweg PRIVATE THALWEG_VERSION="${PROJECT_VERSION}")
  set_target_properties(thalweg PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}")
  # Sanitizers bring an allocator of their own.
  find_library(THALWEG_JEMALLOC jemalloc)
  mark_as_advanced(THALWEG_JEMALLOC)
  if(THALWEG_JEMALLOC AND NOT THALWEG_SANITIZE)
    target_link_libraries(thalweg PRIVATE -Wl,--no-as-needed "${THALWEG_JEMALLOC}" -Wl,--as-needed)
  endif()
endif()

# What runs a reward in a process of its own.
add_executable(thalweg-reward-host "${PROJECT_SOURCE_DIR}/rewards/host/main.cpp")
thalweg_use_precompiled(thalweg-reward-host)
target_link_libraries(thalweg-reward-host PRIVATE thalweg_rewards)
set_target_properties(thalweg-reward-host PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}")
if(TARGET thalweg)
  add_dependencies(thalweg thalweg-reward-host)
endif()
