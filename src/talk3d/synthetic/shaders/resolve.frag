#version 330
// Tone-maps the samples of a pixel and averages those that hit the person: straight
// colour with coverage. Distance is averaged over the part that fills the pixel most.
in vec2 U;
layout(location = 0) out vec4 outPixel;
layout(location = 1) out vec4 outSurface; // distance along the ray, part, normal
uniform sampler2D lightMap, colourMap, depthMap, normalMap, extraMap;
uniform mat4 fromClip;
uniform vec3 camera;
uniform int oversample;
uniform float exposure;

const float SAME_SURFACE = 0.02; // world units

#include "octahedron.glsl"

int partOf(ivec2 at) {
  int kind = int(texelFetch(colourMap, at, 0).a * 16.0 + 0.5);
  return kind == 8 ? 6 : kind;
}

// Hair keeps its strand's direction there; its outward normal is packed.
vec3 normalAt(ivec2 at) {
  if (partOf(at) == 6 && int(texelFetch(colourMap, at, 0).a * 16.0 + 0.5) == 8)
    return fromOctahedron(texelFetch(extraMap, at, 0).zw);
  return normalize(texelFetch(normalMap, at, 0).xyz);
}

vec3 toneMap(vec3 x) {
  x *= exposure * 0.85;
  vec3 y = (x * (2.51 * x + 0.03)) / (x * (2.43 * x + 0.59) + 0.14);
  return pow(clamp(y, 0.0, 1.0), vec3(1.0 / 2.2));
}

float distanceAt(ivec2 at) {
  vec2 u = (vec2(at) + 0.5) / vec2(textureSize(depthMap, 0));
  vec4 p = fromClip * (vec4(u, texelFetch(depthMap, at, 0).r, 1.0) * 2.0 - 1.0);
  return length(p.xyz / p.w - camera);
}

void main() {
  ivec2 first = ivec2(gl_FragCoord.xy) * oversample;
  vec4 sum = vec4(0.0);
  int count[8];
  for (int k = 0; k < 8; k++) count[k] = 0;
  for (int j = 0; j < oversample; j++)
    for (int i = 0; i < oversample; i++) {
      vec4 light = texelFetch(lightMap, first + ivec2(i, j), 0);
      sum += vec4(toneMap(light.rgb), 1.0) * light.a;
      count[partOf(first + ivec2(i, j))] += 1;
    }
  int part = 0;
  for (int k = 1; k < 8; k++)
    if (count[k] > 0 && (part == 0 || count[k] > count[part])) part = k;
  float nearest = 1e9, total = 0.0, members = 0.0;
  vec3 facing = vec3(0.0);
  for (int pass = 0; pass < 2; pass++)
    for (int j = 0; j < oversample; j++)
      for (int i = 0; i < oversample; i++) {
        ivec2 at = first + ivec2(i, j);
        if (part == 0 || partOf(at) != part) continue;
        float d = distanceAt(at);
        if (pass == 0) nearest = min(nearest, d);
        else if (d < nearest + SAME_SURFACE) {
          total += d;
          facing += normalAt(at);
          members += 1.0;
        }
      }
  float samples = float(oversample * oversample);
  outPixel = vec4(sum.rgb / max(sum.a, 1.0), sum.a / samples);
  vec2 folded = part == 0 ? vec2(0.5) : toOctahedron(normalize(facing + vec3(0.0, 0.0, 1e-6)));
  outSurface = vec4(part == 0 ? 0.0 : total / members, float(part), folded);
}
