# Language, warnings, optimisation, ccache: the same for every target, so that one precompiled header serves all.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Release or RelWithDebInfo" FORCE)
endif()
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O1 -g1")

# -fPIC everywhere, programs too: GCC refuses a precompiled header made with another setting of it.
add_compile_options($<$<COMPILE_LANGUAGE:C,CXX>:-fPIC> $<$<COMPILE_LANGUAGE:C,CXX>:-Wall>
                    $<$<COMPILE_LANGUAGE:C,CXX>:-Wextra>)
# GCC 12 takes "text" + string for an overflow (bugs 105329, 105651).
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-Wno-stringop-overflow> $<$<COMPILE_LANGUAGE:CXX>:-Wno-array-bounds>
                      $<$<COMPILE_LANGUAGE:CXX>:-Wno-restrict>)
endif()
if(THALWEG_NATIVE)
  add_compile_options($<$<COMPILE_LANGUAGE:C,CXX>:-march=native>)
endif()
if(THALWEG_SANITIZE)
  add_compile_options($<$<COMPILE_LANGUAGE:C,CXX>:-fsanitize=address,undefined>
                      $<$<COMPILE_LANGUAGE:C,CXX>:-fno-omit-frame-pointer>)
  add_link_options(-fsanitize=address,undefined)
endif()

if(THALWEG_FUZZ)
  # LibTorch is built without the type information that `vptr` and `function` compare.
  set(_checks -fsanitize=address,undefined -fno-sanitize=vptr,function -fno-sanitize-recover=all)
  add_compile_options(${_checks} -fsanitize=fuzzer-no-link -fno-omit-frame-pointer)
  add_link_options(${_checks})
endif()

if(THALWEG_CCACHE)
  find_program(THALWEG_CCACHE_PROGRAM ccache)
  mark_as_advanced(THALWEG_CCACHE_PROGRAM)
endif()
if(THALWEG_CCACHE AND THALWEG_CCACHE_PROGRAM)
  # ccache looks into a precompiled header only when told that its macros and time stamps may differ. With paths made
  # relative, one build folder takes from another, the CUDA build from that of the CPU.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${PROJECT_SOURCE_DIR}
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${THALWEG_CCACHE_PROGRAM})
  set(CMAKE_C_COMPILER_LAUNCHER ${CMAKE_CXX_COMPILER_LAUNCHER})
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fpch-preprocess>)
  endif()
endif()
