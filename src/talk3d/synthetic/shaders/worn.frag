#version 330
// Cloth of the torso, and glasses (pattern < 0).
in vec3 P;
in vec3 N;
in vec2 T;
in vec4 A;
#include "gbuffer.glsl"
#include "noise.glsl"
uniform vec3 first, second;
uniform float pattern; // 0 plain, 1 striped, 2 collar, -1 smooth

void main() {
  Surface s;
  s.spread = 0.0;
  s.normal = normalize(N);
  if (!gl_FrontFacing) s.normal = -s.normal;
  s.light = A.x;
  s.kind = WORN;
  s.colour = first;
  s.rough = 0.25;
  s.gloss = 0.6;
  if (pattern >= 0.0) {
    if (pattern > 1.5) s.colour = mix(first, second, step(T.y, 0.06));
    else if (pattern > 0.5) s.colour = mix(first, second, step(0.5, fract(T.y * 9.0)));
    vec4 weave = noise4(P * 9.0), fold = noise4(P * 1.3);
    s.colour *= 1.0 + 0.3 * weave.r;
    s.normal = normalize(s.normal + 0.22 * vec3(fold.r, fold.a, weave.a));
    s.rough = 0.8;
    s.gloss = 0.2;
  }
  writeSurface(s);
}
