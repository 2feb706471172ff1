# Writes OUT: for each of FILES, script_<name>[] with the file's text and
# script_<name>_sha1[], the name that Redis gives it.
set(text "/* Generated from gateway/store/scripts. */\n")
foreach(file ${FILES})
  get_filename_component(name ${file} NAME_WE)
  file(READ ${file} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  file(SHA1 ${file} sha1)
  string(APPEND text "static const char script_${name}[] = {${bytes}0};\n"
                     "static const char script_${name}_sha1[] = \"${sha1}\";\n")
endforeach()
file(WRITE ${OUT} "${text}")
