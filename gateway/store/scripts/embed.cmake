# Writes OUT: for each of FILES, script_<name>[] with the file's text.
set(text "/* Generated from gateway/store/scripts. */\n")
foreach(file ${FILES})
  get_filename_component(name ${file} NAME_WE)
  file(READ ${file} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  string(APPEND text "static const char script_${name}[] = {${bytes}0};\n")
endforeach()
file(WRITE ${OUT} "${text}")
