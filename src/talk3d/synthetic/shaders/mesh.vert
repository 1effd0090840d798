#version 330
// Head, torso and glasses.
in vec3 position;
in vec3 normal;
in float hollow; // curvature, 1/cm, folds above 0
in vec3 rest;   // place on the mean head, cm
in vec2 uv;
in vec4 region; // ambient occlusion, scalp distance, beard distance, ear
in float part;
uniform mat4 toClip;
uniform float shell;    // thickness of cropped hair, world units
uniform float hairline; // cm
out vec3 P;
out vec3 N;
out vec3 R;
out vec2 T;
out vec4 A;
out float K;
flat out int partId;
#include "head_move.glsl"

void main() {
  float crop = shell * smoothstep(-0.4, 2.2, region.y + hairline);
  P = movePoint(position + normal * crop);
  N = moveDirection(normal, position);
  R = rest;
  T = uv;
  A = region;
  K = hollow;
  partId = int(part + 0.5);
  gl_Position = toClip * vec4(P, 1.0);
}
