# Writes OUT: for each of FILES, script_<name>[] with the script's text and
# script_<name>_sha1[], the name that Redis gives it. A line
# "-- include foo" stands for the text of include/foo.lua.
set(text "/* Generated from gateway/store/scripts. */\n")
foreach(file ${FILES})
  get_filename_component(name ${file} NAME_WE)
  get_filename_component(folder ${file} DIRECTORY)
  file(READ ${file} script)
  while("${script}" MATCHES "-- include ([a-z_]+)\n")
    set(line "${CMAKE_MATCH_0}")
    file(READ ${folder}/include/${CMAKE_MATCH_1}.lua included)
    string(REPLACE "${line}" "${included}" script "${script}")
  endwhile()
  string(HEX "${script}" hex)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  string(SHA1 sha1 "${script}")
  string(APPEND text "static const char script_${name}[] = {${bytes}0};\n"
                     "static const char script_${name}_sha1[] = \"${sha1}\";\n")
endforeach()
file(WRITE ${OUT} "${text}")
