#version 330
// Lights every sample of the G-buffer. Alpha is 1 where there is a person.
in vec2 U;
out vec4 outLight;
uniform sampler2D colourMap, normalMap, extraMap, depthMap;
uniform mat4 fromClip;
uniform vec3 camera;
#include "light.glsl"
#include "octahedron.glsl"

const int LIPS = 2, MOUTH = 3, TEETH = 4, EYE = 5, STRAND = 8;

vec3 place(vec2 u, float depth) {
  vec4 p = fromClip * (vec4(u, depth, 1.0) * 2.0 - 1.0);
  return p.xyz / p.w;
}

// Two lobes along the strand (Marschner's R and TRT) and a soft diffuse part.
vec3 strandLight(vec3 colour, vec3 strand, vec3 n, vec3 p, vec3 view, float open) {
  float shadow = keyShadow(p, view * 0.6);
  float tv = clamp(dot(strand, view), -1.0, 1.0);
  vec3 sum = vec3(0.0);
  for (int i = 0; i < 3; i++) {
    vec3 l = lampDirection[i];
    float tl = clamp(dot(strand, l), -1.0, 1.0), sl = sqrt(1.0 - tl * tl);
    float facing = clamp(dot(n, l) * 0.72 + 0.28, 0.0, 1.0);
    float bend = asin(tl) + asin(tv);
    float first = pow(max(0.0, cos(bend - 0.12)), 70.0) * 0.10;
    float second = pow(max(0.0, cos(bend + 0.2)), 14.0) * 0.70;
    vec3 scattered = colour * sl * 0.62 + (vec3(first) + colour * second * 1.3) * sl;
    float lit = i == 0 ? shadow : 1.0;
    sum += lampColour[i] * lit * facing * scattered * mix(0.5, 1.0, open);
  }
  return sum + colour * surroundLight(normalize(n + 0.35 * view)) * open;
}

// Roughness of a surface whose unseen bumps have slopes of this deviation (Olano and
// Baker 2010, "LEAN mapping": the variances of the slopes add up).
float widened(float rough, float deviation) {
  return pow(pow(rough, 4.0) + 2.0 * deviation * deviation, 0.25);
}

vec3 surfaceLight(int kind, vec3 colour, vec4 normal, vec3 extra, vec3 p, vec3 view) {
  vec3 n = normal.xyz;
  float rough = widened(normal.w, extra.z), sharp = widened(normal.w * 0.55, extra.z);
  float open = extra.x, gloss = extra.y;
  float nv = max(0.02, dot(n, view)), shadow = keyShadow(p, n);
  bool eye = kind == EYE;
  float deep = kind == 1 || kind == LIPS ? 1.0
             : kind == MOUTH || kind == TEETH ? 0.5 : eye ? 0.35 : 0.0;
  vec3 wrap = deep * vec3(0.34, 0.18, 0.13);
  float f0 = eye ? 0.025 : 0.030;
  vec3 sum = vec3(0.0);
  for (int i = 0; i < 3; i++) {
    vec3 l = lampDirection[i], h = normalize(l + view);
    float nl = dot(n, l), nh = max(0.0, dot(n, h)), vh = max(0.0, dot(view, h));
    float lit = i == 0 ? shadow : 1.0;
    vec3 reddened = mix(vec3(lit), pow(vec3(lit), vec3(0.68, 0.92, 1.02)), deep);
    vec3 diffuse = clamp((nl + wrap) / (1.0 + wrap), 0.0, 1.0);
    diffuse = mix(diffuse, diffuse * diffuse * (3.0 - 2.0 * diffuse), 0.15);
    float fresnel = f0 + (1.0 - f0) * pow(1.0 - vh, 5.0);
    float toward = max(nl, 0.02), mirror;
    if (eye) mirror = 0.55 * ggx(nh, 0.10) * visibility(toward, nv, 0.10);
    else
      mirror = gloss * 3.6 * (0.75 * ggx(nh, rough) * visibility(toward, nv, rough)
                              + 0.25 * ggx(nh, sharp) * visibility(toward, nv, sharp));
    float sky = i == 0 ? mix(1.0, open, 0.35) : i == 1 ? mix(1.0, open, 0.75) : open * open;
    vec3 specular = vec3(mirror * fresnel * max(nl, 0.0) * lit * open);
    sum += lampColour[i] * sky * (colour * diffuse * reddened + specular);
  }
  vec3 openings = deep > 0.2 ? pow(vec3(open), vec3(0.75, 0.95, 1.0)) : vec3(open);
  sum += colour * surroundLight(n) * openings;
  vec3 mirrored = reflect(-view, n);
  float grazing = f0 + (eye ? 0.9 : 0.16) * pow(1.0 - nv, 5.0);
  sum += surroundLight(mirrored) * grazing * open * (eye ? 1.6 : gloss * 1.7);
  if (eye) {
    vec3 window = normalize(lampDirection[0] + 1.2 * view + vec3(0.0, 0.55, 0.0));
    sum += lampColour[0] * smoothstep(0.945, 0.965, dot(mirrored, window)) * 0.45 * open;
  }
  return sum;
}

void main() {
  vec4 coloured = texture(colourMap, U);
  int kind = int(coloured.a * 16.0 + 0.5);
  if (kind == 0) {
    outLight = vec4(0.0);
    return;
  }
  vec3 colour = coloured.rgb * coloured.rgb;
  vec4 normal = texture(normalMap, U), extra = texture(extraMap, U);
  vec3 p = place(U, texture(depthMap, U).r), view = normalize(camera - p);
  vec3 lit;
  if (kind == STRAND) {
    vec3 outward = fromOctahedron(extra.zw);
    lit = strandLight(colour, normalize(normal.xyz), outward, p, view, extra.x);
  } else {
    lit = surfaceLight(kind, colour, normal, extra.xyz, p, view);
  }
  outLight = vec4(lit, 1.0);
}
