# The fused CPU loops (engine/models/cpu): one source, compiled for each instruction set and picked at run time. Without
# the precompiled header, which was made with other flags.
set(_kernels "${PROJECT_SOURCE_DIR}/engine/models/cpu/kernels_")
set(_common -O3 -ffp-contract=fast -fno-math-errno -Wno-psabi)
set(_avx512 "")
set(_avx2 "")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set(_avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma)
  set(_avx2 -mavx2 -mfma)
endif()
set_source_files_properties("${_kernels}avx512.cpp" PROPERTIES SKIP_PRECOMPILE_HEADERS ON COMPILE_OPTIONS "${_common};${_avx512}")
set_source_files_properties("${_kernels}avx2.cpp" PROPERTIES SKIP_PRECOMPILE_HEADERS ON COMPILE_OPTIONS "${_common};${_avx2}")
set_source_files_properties("${_kernels}baseline.cpp" PROPERTIES SKIP_PRECOMPILE_HEADERS ON COMPILE_OPTIONS "${_common}")
