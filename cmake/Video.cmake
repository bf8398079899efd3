# Video files. The engine's side is a folder like the others; thalweg-video is a program of its own, without LibTorch:
# Debian's libav is built under the GPL, and parses what strangers wrote.
pkg_check_modules(LIBAV REQUIRED IMPORTED_TARGET libavformat libavcodec libavutil libswscale)

# What holds a process to little; no LibTorch either.
file(GLOB _sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/engine/sandbox/*.cpp")
add_library(thalweg_sandbox STATIC ${_sources})
target_include_directories(thalweg_sandbox PUBLIC "${PROJECT_SOURCE_DIR}")
target_link_libraries(thalweg_sandbox PRIVATE PkgConfig::SECCOMP)

file(GLOB _sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/engine/video/worker/*.cpp")
list(FILTER _sources EXCLUDE REGEX "/main\\.cpp$")
add_library(thalweg_video_worker STATIC ${_sources} "${PROJECT_SOURCE_DIR}/engine/video/messages.cpp")
target_link_libraries(thalweg_video_worker PUBLIC thalweg_sandbox PkgConfig::LIBAV)
add_executable(thalweg-video "${PROJECT_SOURCE_DIR}/engine/video/worker/main.cpp")
target_link_libraries(thalweg-video PRIVATE thalweg_video_worker)
set_target_properties(thalweg-video PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}")
