# GLSL to SPIR-V to C arrays, checked by spirv-val, into ${CMAKE_BINARY_DIR}/gen/shaders.
find_program(TG_SYSTEM_GLSLC glslc)
find_program(TG_SPIRV_VAL spirv-val)
set(TG_GLSLC ${TOLLGATE_GLSLC})
if(NOT TG_GLSLC)
  set(TG_GLSLC ${TG_SYSTEM_GLSLC})
endif()
if(NOT TG_GLSLC OR NOT TG_SPIRV_VAL)
  message(FATAL_ERROR "glslc and spirv-val are needed: apt install glslc spirv-tools")
endif()
include(CheckIncludeFile)
check_include_file(vulkan/vulkan.h TG_HAVE_VULKAN_H)
if(NOT TG_HAVE_VULKAN_H)
  unset(TG_HAVE_VULKAN_H CACHE) # look again when it has been installed
  message(FATAL_ERROR "vulkan/vulkan.h is needed: apt install libvulkan-dev")
endif()

set(gen ${CMAKE_BINARY_DIR}/gen/shaders)
file(MAKE_DIRECTORY ${gen})
file(GLOB shaders CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/shaders/*.comp)
# All that may be included: glslc's own list does not survive a path with spaces.
file(GLOB included CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/shaders/*.glsl
  ${CMAKE_CURRENT_SOURCE_DIR}/shaders/*.h)
set(headers)
foreach(shader ${shaders})
  get_filename_component(name ${shader} NAME_WE)
  add_custom_command(OUTPUT ${gen}/${name}.h
    COMMAND ${TG_GLSLC} --target-env=vulkan1.3 -O -Werror
      -I ${CMAKE_CURRENT_SOURCE_DIR}/shaders ${shader} -o ${gen}/${name}.spv
    COMMAND ${TG_SPIRV_VAL} --target-env vulkan1.3 ${gen}/${name}.spv
    COMMAND ${CMAKE_COMMAND} -DIN=${gen}/${name}.spv -DOUT=${gen}/${name}.h -DNAME=${name}
      -P ${CMAKE_CURRENT_SOURCE_DIR}/shaders/embed.cmake
    DEPENDS ${shader} ${included} ${CMAKE_CURRENT_SOURCE_DIR}/shaders/embed.cmake
    COMMENT "Shader ${name}"
    VERBATIM)
  list(APPEND headers ${gen}/${name}.h)
endforeach()
add_custom_target(tg_shaders DEPENDS ${headers})
add_dependencies(tg_engine tg_shaders)
