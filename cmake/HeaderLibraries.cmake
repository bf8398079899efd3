# Libraries that are headers alone, as targets that carry what their users must agree on.
find_package(Boost 1.74 REQUIRED)
add_library(thalweg_boost_dll INTERFACE)
add_library(thalweg::boost_dll ALIAS thalweg_boost_dll)
target_link_libraries(thalweg_boost_dll INTERFACE Boost::headers ${CMAKE_DL_LIBS})
# Without it Boost.DLL would need the compiled Boost.Filesystem.
target_compile_definitions(thalweg_boost_dll INTERFACE BOOST_DLL_USE_STD_FS)

# Distributions put stb at <prefix>/include/stb.
find_path(THALWEG_STB_INCLUDE stb_image.h PATH_SUFFIXES stb REQUIRED)
mark_as_advanced(THALWEG_STB_INCLUDE)
add_library(thalweg_stb INTERFACE)
add_library(thalweg::stb ALIAS thalweg_stb)
target_include_directories(thalweg_stb SYSTEM INTERFACE "${THALWEG_STB_INCLUDE}")
