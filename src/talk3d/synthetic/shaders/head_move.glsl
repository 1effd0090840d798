// Turns the head about the base of the skull; the neck follows, see talk3d.neck.
uniform mat3 headTurn;
uniform vec3 headPivot;
uniform float headMoves; // 1 for the head and what it wears, 0 for the torso
uniform vec2 neckFade; // leaning heights between which the turn fades in
uniform float neckLean;

float headWeight(vec3 p) {
  return headMoves * smoothstep(neckFade.x, neckFade.y, p.y + neckLean * p.z);
}

vec3 movePoint(vec3 p) {
  return mix(p, headTurn * (p - headPivot) + headPivot, headWeight(p));
}

vec3 moveDirection(vec3 d, vec3 p) {
  return normalize(mix(d, headTurn * d, headWeight(p)));
}
