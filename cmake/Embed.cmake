# Text files that are compiled in, so that the program needs no files beside it.
# thalweg_embed(target file variable header): the text of `file` as the `const char* const` that `header` declares;
# written anew in the build folder whenever the file changes. A line end stands before the text.
# Raw: the file must not hold )embedded" itself.
if(CMAKE_SCRIPT_MODE_FILE)
  file(READ "${FILE}" _text)
  file(WRITE "${OUTPUT}" "// Written by cmake/Embed.cmake.\n#include \"${HEADER}\"\n\n"
                         "const char* const ${VARIABLE} = R\"embedded(\n${_text})embedded\";\n")
  return()
endif()

function(thalweg_embed target file variable header)
  set(script "${PROJECT_SOURCE_DIR}/cmake/Embed.cmake")
  set(output "${PROJECT_BINARY_DIR}/embedded/${file}.cpp")
  add_custom_command(OUTPUT "${output}" DEPENDS "${PROJECT_SOURCE_DIR}/${file}" "${script}"
    COMMAND ${CMAKE_COMMAND} "-DFILE=${PROJECT_SOURCE_DIR}/${file}" "-DOUTPUT=${output}" "-DVARIABLE=${variable}"
            "-DHEADER=${header}" -P "${script}"
    COMMENT "Embedding ${file}" VERBATIM)
  target_sources(${target} PRIVATE "${output}")
endfunction()
