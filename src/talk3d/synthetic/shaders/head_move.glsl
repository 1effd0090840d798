// Turns the head about the base of the skull; the neck follows by height.
uniform mat3 headTurn;
uniform vec3 headPivot;
uniform float headMoves; // 1 for the head and what it wears, 0 for the torso

const vec2 NECK = vec2(-13.5, -6.5) / 40.0; // the turn fades in between, world units

float headWeight(float y) { return headMoves * smoothstep(NECK.x, NECK.y, y); }

vec3 movePoint(vec3 p) {
  return mix(p, headTurn * (p - headPivot) + headPivot, headWeight(p.y));
}

vec3 moveDirection(vec3 d, float y) {
  return normalize(mix(d, headTurn * d, headWeight(y)));
}
