#version 330
in vec4 H;
#include "strands.glsl"

void main() {
  if (betweenStrands(H)) discard;
}
