# LibTorch as imported targets of our own. find_package(Torch) of the PyPI wheel demands a CUDA toolkit even for
# programs that never see a GPU; these targets need the folder's include/ and lib/ alone.
#   thalweg::torch   headers, libtorch_cpu and libc10, and with THALWEG_CUDA their CUDA halves
set(_default_torch "")
set(_deps "${PROJECT_SOURCE_DIR}/.deps")
if(DEFINED ENV{THALWEG_DEPS})
  set(_deps "$ENV{THALWEG_DEPS}")
endif()
# With CUDA: what `make setup-cuda` fetched, or the whole wheel that the Python tests run on.
file(GLOB _wheels "${_deps}/venv/lib/python3*/site-packages/torch")
set(_folders "${_deps}/torch")
set(_library libtorch_cpu.so)
if(THALWEG_CUDA)
  set(_folders "${_deps}/torch-cuda" ${_wheels})
  set(_library libtorch_cuda.so)
endif()
foreach(_folder IN LISTS _folders)
  if(EXISTS "${_folder}/lib/${_library}")
    set(_default_torch "${_folder}")
    break()
  endif()
endforeach()
set(THALWEG_TORCH "${_default_torch}" CACHE PATH "Folder of LibTorch >= 2.11: include/ and lib/")
if(NOT EXISTS "${THALWEG_TORCH}/lib/libtorch_cpu.so")
  message(FATAL_ERROR "No LibTorch in '${THALWEG_TORCH}' (THALWEG_TORCH). Run `make setup`, which fetches it, "
                      "or pass -DTHALWEG_TORCH=DIR, a folder with include/ and lib/libtorch_cpu.so.")
endif()
file(REAL_PATH "${THALWEG_TORCH}" THALWEG_TORCH_DIR)
# -DTHALWEG_TORCH_INCLUDE=DIR takes its headers from elsewhere: under one path, the compiler cache serves a CPU and a
# CUDA build alike.
if(NOT THALWEG_TORCH_INCLUDE)
  set(THALWEG_TORCH_INCLUDE "${THALWEG_TORCH_DIR}/include")
endif()

set(_version_file "${THALWEG_TORCH_INCLUDE}/torch/headeronly/version.h")
if(EXISTS "${_version_file}")
  file(STRINGS "${_version_file}" _version REGEX "define TORCH_VERSION_(MAJOR|MINOR) ")
  string(REGEX MATCHALL "[0-9]+" _version "${_version}")
  list(JOIN _version "." _version)
  if(_version VERSION_LESS 2.11)
    message(FATAL_ERROR "LibTorch ${_version} in ${THALWEG_TORCH_DIR} is too old: Thalweg needs 2.11 or newer.")
  endif()
  message(STATUS "LibTorch ${_version}: ${THALWEG_TORCH_DIR}")
endif()

add_library(thalweg_torch INTERFACE)
add_library(thalweg::torch ALIAS thalweg_torch)
# After the system's own folders: LibTorch brings a copy of {fmt} newer than the one that spdlog was built with.
target_compile_options(thalweg_torch INTERFACE
                       "$<$<COMPILE_LANGUAGE:CXX>:SHELL:-idirafter ${THALWEG_TORCH_INCLUDE}>")

function(_thalweg_torch_library name)
  add_library(thalweg_lib${name} SHARED IMPORTED GLOBAL)
  set_target_properties(thalweg_lib${name} PROPERTIES IMPORTED_LOCATION "${THALWEG_TORCH_DIR}/lib/lib${name}.so")
endfunction()
_thalweg_torch_library(c10)
_thalweg_torch_library(torch_cpu)
target_link_libraries(thalweg_torch INTERFACE thalweg_libtorch_cpu thalweg_libc10)
if(THALWEG_CUDA)
  find_package(CUDAToolkit 13 REQUIRED)
  if(NOT EXISTS "${THALWEG_TORCH_DIR}/lib/libtorch_cuda.so")
    message(FATAL_ERROR "${THALWEG_TORCH_DIR} holds no libtorch_cuda.so: it is a CPU copy. Run `make setup-cuda`, "
                        "or point -DTHALWEG_TORCH at a LibTorch with CUDA.")
  endif()
  _thalweg_torch_library(c10_cuda)
  _thalweg_torch_library(torch_cuda)
  # Nothing names a symbol of libtorch_cuda: it registers its kernels when it is loaded, so it must stay needed.
  # No definition and no include folder here: only files in cuda/ folders know of CUDA (Folders.cmake), every
  # other object is that of a CPU build.
  target_link_libraries(thalweg_torch INTERFACE -Wl,--no-as-needed thalweg_libtorch_cuda -Wl,--as-needed
                                                thalweg_libc10_cuda $<LINK_ONLY:CUDA::cudart>)
endif()

# In the build folder programs find LibTorch where it lies; an installation brings its own (Install.cmake).
if(THALWEG_CUDA)
  # The CUDA runtime that came with LibTorch first, the toolkit's where there is none.
  file(GLOB _runtimes "${THALWEG_TORCH_DIR}/../nvidia/cu*/lib")
  set(CMAKE_BUILD_RPATH "${THALWEG_TORCH_DIR}/lib" ${_runtimes} "${CUDAToolkit_LIBRARY_DIR}")
endif()
