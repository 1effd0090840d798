// Lamps, surround and the key's shadow.
uniform vec3 lampDirection[3];
uniform vec3 lampColour[3];
uniform vec3 surround[9];
uniform sampler2D shadowMap;
uniform mat4 toShadow;
uniform float softness;

const float PI = 3.14159265;

vec3 surroundLight(vec3 n) {
  vec3 e = surround[0] + surround[1] * n.y + surround[2] * n.z + surround[3] * n.x;
  e += surround[4] * n.x * n.y + surround[5] * n.y * n.z;
  e += surround[6] * (3.0 * n.z * n.z - 1.0) + surround[7] * n.x * n.z;
  return max(vec3(0.0), e + surround[8] * (n.x * n.x - n.y * n.y));
}

// Share of the key lamp that reaches p: eight taps on a turned spiral.
float keyShadow(vec3 p, vec3 away) {
  vec3 c = (toShadow * vec4(p + away * 0.010, 1.0)).xyz * 0.5 + 0.5;
  float turn = 2.0 * PI * fract(52.98 * fract(dot(gl_FragCoord.xy, vec2(0.0671, 0.00583))));
  float lit = 0.0;
  for (int i = 0; i < 8; i++) {
    float r = sqrt((float(i) + 0.5) / 8.0) * softness;
    float t = turn + float(i) * 2.39996;
    float depth = texture(shadowMap, c.xy + r * vec2(cos(t), sin(t))).r;
    lit += step(c.z - 0.0015, depth);
  }
  return lit / 8.0;
}

float ggx(float nh, float rough) {
  float a2 = rough * rough * rough * rough;
  float d = nh * nh * (a2 - 1.0) + 1.0;
  return a2 / (PI * d * d);
}

float visibility(float nl, float nv, float rough) {
  float k = (rough + 1.0) * (rough + 1.0) / 8.0;
  return 0.25 / ((nl * (1.0 - k) + k) * (nv * (1.0 - k) + k));
}
