#version 330
in vec3 S;
in vec3 N;
in vec4 H;
in vec4 C;
#include "gbuffer.glsl"
#include "octahedron.glsl"
#include "strands.glsl"

void main() {
  if (betweenStrands(H)) discard;
  float id = floor(H.x * H.w);
  float r = hash1(id * 7.3 + H.z * 91.0);
  float r2 = hash1(id * 3.1 + H.z * 37.0);
  vec3 colour = C.rgb * (0.52 + 0.80 * r) * mix(0.62, 1.12, smoothstep(0.0, 0.8, H.y));
  vec3 strand = normalize(S + 0.34 * (r2 - 0.5) * N);
  outColour = vec4(sqrt(colour), STRAND / 16.0);
  outNormal = vec4(strand, 0.3);
  outExtra = vec4(C.a, 0.0, toOctahedron(normalize(N)));
}
