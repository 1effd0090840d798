#version 330
in vec3 position;
in vec3 tangent;
in vec3 normal;
in vec4 card;   // across, along, random, strands
in vec4 colour; // rgb, ambient occlusion
uniform mat4 toClip;
out vec3 P;
out vec3 S;
out vec3 N;
out vec4 H;
out vec4 C;
#include "head_move.glsl"

void main() {
  P = movePoint(position);
  S = moveDirection(tangent, position);
  N = moveDirection(normal, position);
  H = card;
  C = colour;
  gl_Position = toClip * vec4(P, 1.0);
}
