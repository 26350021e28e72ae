"""Where things stand: procedural cities, real footprints from files, polygons, transmitters and cars; numpy and scipy."""
