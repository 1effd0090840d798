// Unit vectors as two numbers from 0 to 1.
vec2 signs(vec2 v) { return vec2(v.x >= 0.0 ? 1.0 : -1.0, v.y >= 0.0 ? 1.0 : -1.0); }

vec2 toOctahedron(vec3 n) {
  vec2 p = n.xy / (abs(n.x) + abs(n.y) + abs(n.z));
  if (n.z < 0.0) p = (1.0 - abs(p.yx)) * signs(p);
  return p * 0.5 + 0.5;
}

vec3 fromOctahedron(vec2 e) {
  vec2 p = e * 2.0 - 1.0;
  vec3 n = vec3(p, 1.0 - abs(p.x) - abs(p.y));
  if (n.z < 0.0) n.xy = (1.0 - abs(n.yx)) * signs(n.xy);
  return normalize(n);
}
