#!/usr/bin/env python3
"""Writes karate.edges and karate.sides from networkx (python3-networkx, or any networkx >= 2.8), which has the
observations of W. W. Zachary, "An Information Flow Model for Conflict and Fission in Small Groups", Journal of
Anthropological Research 33, 1977. Run from the root of the project."""

import networkx

graph = networkx.karate_club_graph()
with open("examples/data/karate.edges", "w") as file:
    file.write("# Who met whom outside of a karate club, 1970 to 1972: member member occasions (Zachary 1977)\n")
    for u, v, attributes in sorted(graph.edges(data=True)):
        file.write(f"{u} {v} {attributes['weight']}\n")
with open("examples/data/karate.sides.csv", "w") as file:
    file.write("member,side\n")
    for member, attributes in sorted(graph.nodes(data=True)):
        file.write(f"{member},{0 if attributes['club'] == 'Mr. Hi' else 1}\n")
