std = "luajit"
max_line_length = 120
unused_args = false
files["spec/**/*_spec.lua"].std = "luajit+busted"
files["rockspec/*.rockspec"].std = "rockspec"
files["config.ld"].std = "ldoc"
files["config.ld"].ignore = { "111", "131" }
