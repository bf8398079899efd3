# Our own CUDA kernels: the .cu files of all folders named cuda. A CUDA build links them; a test build compiles them
# wherever nvcc is, so that they cannot rot.
set(CMAKE_CUDA_ARCHITECTURES "80;90" CACHE STRING "GPU generations to compile kernels for")
set(CMAKE_CUDA_RUNTIME_LIBRARY Shared)  # LibTorch brings it: one runtime in the process
if(THALWEG_CUDA OR THALWEG_TESTS)
  include(CheckLanguage)
  check_language(CUDA)
endif()
file(GLOB_RECURSE _kernels CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/engine/*.cu" "${PROJECT_SOURCE_DIR}/samplers/*.cu")
if(CMAKE_CUDA_COMPILER AND _kernels)
  enable_language(CUDA)
  add_library(thalweg_cuda_kernels STATIC ${_kernels})
  target_include_directories(thalweg_cuda_kernels PUBLIC "${PROJECT_SOURCE_DIR}")
  set_target_properties(thalweg_cuda_kernels PROPERTIES CUDA_STANDARD 17 CUDA_STANDARD_REQUIRED ON
                                                        POSITION_INDEPENDENT_CODE ON)
  if(THALWEG_CUDA)
    target_link_libraries(thalweg_core PUBLIC thalweg_cuda_kernels)
  endif()
elseif(THALWEG_CUDA)
  message(FATAL_ERROR "THALWEG_CUDA needs nvcc of the CUDA Toolkit 13: put its bin folder on PATH.")
endif()
