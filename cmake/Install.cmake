# An installation stands alone and can be moved: what it needs beside the C and C++ runtimes lies in it, and is found
# from the program's own place.
#   bin/thalweg, and thalweg-reward-host, thalweg-video and thalweg-service, which it starts
#   lib/thalweg/plugins      the reward plugins
#   lib/thalweg/torch/lib    LibTorch; lib/thalweg/nvidia beside it as in the wheels, whose own paths are relative
#   lib/thalweg/*.so         libraries of the distribution
#   share/thalweg            assets, licences, skeletons of rewards; include/thalweg the headers for plugins
set(_lib "lib/thalweg")
if(TARGET thalweg)
  set(_paths "$ORIGIN/../${_lib}/torch/lib" "$ORIGIN/../${_lib}")
  file(GLOB _runtimes RELATIVE "${THALWEG_TORCH_DIR}/.." "${THALWEG_TORCH_DIR}/../nvidia/cu*/lib")
  foreach(_runtime IN LISTS _runtimes)
    list(APPEND _paths "$ORIGIN/../${_lib}/${_runtime}")
  endforeach()
  foreach(_target thalweg thalweg-reward-host thalweg-video thalweg-service)
    set_target_properties(${_target} PROPERTIES INSTALL_RPATH "${_paths}")
    # The older form of run path, which counts for libraries of libraries too: those of the distribution have none.
    target_link_options(${_target} PRIVATE -Wl,--disable-new-dtags)
    install(TARGETS ${_target} RUNTIME DESTINATION bin)
  endforeach()

  set(_left_out PATTERN "libtorch_python*" EXCLUDE PATTERN "libshm*" EXCLUDE PATTERN "libtorch_global_deps*" EXCLUDE)
  if(NOT THALWEG_CUDA)
    list(APPEND _left_out PATTERN "libtorch_cuda*" EXCLUDE PATTERN "libc10_cuda*" EXCLUDE
                          PATTERN "libcaffe2_nvrtc*" EXCLUDE PATTERN "libtorch_nvshmem*" EXCLUDE)
  endif()
  install(DIRECTORY "${THALWEG_TORCH_DIR}/lib/" DESTINATION "${_lib}/torch/lib" FILES_MATCHING PATTERN "*.so*" ${_left_out})
  # The whole wheel keeps its libraries for GPUs beside it; a CPU build needs two of them, which load nothing more.
  if(EXISTS "${THALWEG_TORCH_DIR}/../nvidia")
    set(_gpu_libraries PATTERN "*.so*")
    if(NOT THALWEG_CUDA)
      set(_gpu_libraries PATTERN "libcudart.so*" PATTERN "libcupti.so*")
    endif()
    install(DIRECTORY "${THALWEG_TORCH_DIR}/../nvidia" DESTINATION "${_lib}" FILES_MATCHING ${_gpu_libraries})
  endif()
  install(DIRECTORY "${THALWEG_TORCH_DIR}/licenses" DESTINATION share/thalweg OPTIONAL)

  install(CODE "set(_programs \"$<TARGET_FILE:thalweg>\" \"$<TARGET_FILE:thalweg-reward-host>\" \"$<TARGET_FILE:thalweg-video>\" \"$<TARGET_FILE:thalweg-service>\")\nset(_plugin \"$<TARGET_FILE:plugin_remote>\")\nset(_lib \"${_lib}\")\nset(_torch \"${THALWEG_TORCH_DIR}\")")
  install(CODE [[
    get_filename_component(_wheels "${_torch}" DIRECTORY)
    # Of the plugins, `remote` alone needs libraries that the program does not.
    file(GET_RUNTIME_DEPENDENCIES EXECUTABLES ${_programs} MODULES "${_plugin}" RESOLVED_DEPENDENCIES_VAR _found
      UNRESOLVED_DEPENDENCIES_VAR _missing CONFLICTING_DEPENDENCIES_PREFIX _conflict
      PRE_EXCLUDE_REGEXES "^ld-linux" "^lib(c|m|dl|rt|pthread|util|gcc_s|stdc\\+\\+)\\.so" "^libcuda\\.so")
    foreach(_library IN LISTS _found)
      string(FIND "${_library}" "${_wheels}/" _at)
      if(NOT _at EQUAL 0)
        file(INSTALL DESTINATION "${CMAKE_INSTALL_PREFIX}/${_lib}" TYPE SHARED_LIBRARY FOLLOW_SYMLINK_CHAIN
             FILES "${_library}")
      endif()
    endforeach()
    if(_missing)
      message(FATAL_ERROR "The programs or a plugin need libraries that are not found: ${_missing}")
    endif()
  ]])
endif()
install(DIRECTORY "${PROJECT_SOURCE_DIR}/plugins/include/thalweg" DESTINATION include)
install(DIRECTORY "${PROJECT_SOURCE_DIR}/plugins/template" DESTINATION share/thalweg)
# A build tree has them at the same places, for `thalweg reward new`.
file(MAKE_DIRECTORY "${PROJECT_BINARY_DIR}/share/thalweg")
file(CREATE_LINK "${PROJECT_SOURCE_DIR}/plugins/template" "${PROJECT_BINARY_DIR}/share/thalweg/template" SYMBOLIC)
file(CREATE_LINK "${PROJECT_SOURCE_DIR}/plugins/include" "${PROJECT_BINARY_DIR}/include" SYMBOLIC)
if(EXISTS "${PROJECT_SOURCE_DIR}/assets")
  install(DIRECTORY "${PROJECT_SOURCE_DIR}/assets" DESTINATION share/thalweg)
endif()
