#version 330
// The head: picks the material by the part of the mesh.
in vec3 P;
in vec3 N;
in vec3 R;
in vec2 T;
in vec4 A;
in float K;
flat in int partId;
uniform vec3 camera;
#include "gbuffer.glsl"
#include "noise.glsl"
#include "skin.glsl"
#include "eye.glsl"
#include "mouth.glsl"
#include "lashes.glsl"

Surface socketSurface(vec3 n) {
  Surface s;
  s.spread = 0.0;
  s.colour = skinColour * vec3(0.62, 0.40, 0.36);
  s.normal = n;
  s.rough = 0.4;
  s.gloss = 0.3;
  s.light = A.x * 0.6;
  s.kind = SKIN;
  return s;
}

void main() {
  vec3 n = normalize(N);
  bool lash = partId == 17 || partId == 18;
  if (!gl_FrontFacing && !lash) n = -n;
  Surface s;
  s.spread = 0.0;
  if (partId <= 1) s = skinSurface(n);
  else if (partId == 3 || partId == 4) s = socketSurface(n);
  else if (partId == 7 || partId == 9) s = eyeSurface(n, normalize(camera - P));
  else if (lash) s = lashSurface(n);
  else s = mouthSurface(n);
  writeSurface(s);
}
