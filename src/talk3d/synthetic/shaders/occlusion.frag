#version 330
// Darkens the eye under the lids: multiplied onto the reflectance, drawn last.
in vec2 T;
layout(location = 0) out vec4 outColour;
layout(location = 1) out vec4 outNormal;
layout(location = 2) out vec4 outExtra;
uniform float strength;

void main() {
  float upper = smoothstep(0.30, 1.0, T.y), lower = smoothstep(0.28, 0.0, T.y);
  float corner = max(smoothstep(0.25, 0.0, T.x), smoothstep(0.8, 1.0, T.x));
  float k = max(max(upper, lower * 0.6), corner * 0.6);
  outColour = vec4(1.0 - strength * k * vec3(0.75, 0.85, 0.88), 1.0);
  outNormal = vec4(1.0);
  outExtra = vec4(1.0);
}
