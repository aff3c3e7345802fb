-- Command lines: what a script's user may write, and what is said of mistakes.
local process = require "support.process"

local header = [[
  local command = require "epact.command"
  local o = command.read {
    about = "Does something.",
    { "topics", "count", 20, "number of topics" },
    { "step-size", "positive", 0.5, "of the gradient" },
    { "data", "string", "", "a file" },
    { "staleness", "staleness", 1, "clocks" },
    { "order", { "cyclic", "random" }, "cyclic", "of the coordinates" },
    { "stats", "flag", false, "print the counts" },
  }
  print(o.topics, o.step_size, o.data, o.staleness, o.order, o.stats)
]]
local script

--- What the script prints when it is run with `words`, and its exit code.
local function run(words)
  return process.run(("luajit %s %s"):format(script, words), { paths = true })
end

--- The one line that is said of a mistake.
local function complaint(words)
  local output, code = run(words)
  assert.equal(2, code)
  return output:match("^" .. script:gsub("%p", "%%%0") .. ": ([^\n]*) %(%-%-help lists the options%)\n$") or output
end

describe("a command line", function()
  setup(function() script = process.temporary(header) end)
  teardown(function() os.remove(script) end)

  it("may be empty", function()
    assert.same({ "20\t0.5\t\t1\tcyclic\tfalse\n", 0 }, { run "" })
  end)

  it("takes values behind a blank or =, in any order, the last one counts", function()
    assert.equal("7\t0.25\tx y\t3\trandom\ttrue\n",
      run "--stats --topics=9 --data 'x y' --order=random --staleness 3 --step-size .25 --topics 7")
    assert.equal("20\t0.5\t\tinf\tcyclic\tfalse\n", run "--data= --staleness async")
    assert.equal("20\t0.5\ta=b\t1\tcyclic\tfalse\n", run "--data=a=b")
    assert.equal("20\t0.5\t-3\t1\tcyclic\tfalse\n", run "--data -3")
  end)

  it("shows the options and ends with 0 for --help", function()
    local output, code = run "--topics 3 --help --nonsense"
    assert.equal(0, code)
    assert.equal(output, (run "-h"))
    local lines = {}
    for line in output:gmatch "[^\n]+" do lines[#lines + 1] = line end
    assert.equal(("usage: luajit %s [options]"):format(script), lines[1])
    assert.equal("Does something.", lines[2])
    assert.equal("  --topics     number of topics (20)", lines[3])
    assert.equal("  --step-size  of the gradient (0.5)", lines[4])
    assert.equal("  --stats      print the counts", lines[8])
    assert.equal("  --help       this text", lines[9])
    assert.equal(9, #lines)
  end)

  it("with a mistake ends with 2 and one line that helps", function()
    assert.equal("unknown option --topic, did you mean --topics?", complaint "--topic 3")
    assert.equal("unknown option --zzzzzzzz", complaint "--zzzzzzzz")
    assert.equal("unexpected argument \"file.txt\"", complaint "file.txt")
    assert.equal("--topics needs a value", complaint "--topics")
    assert.equal("--data needs a value", complaint "--data --topics 3")
    assert.equal("--topics must be an integer >= 1, got \"\"", complaint "--topics=")
    assert.equal("--topics must be an integer >= 1, got \"0\"", complaint "--topics 0")
    assert.equal("--topics must be an integer >= 1, got \"many\"", complaint "--topics many")
    assert.equal("--topics must be an integer >= 1, got \"2.5\"", complaint "--topics 2.5")
    assert.equal("--step-size must be a positive number, got \"inf\"", complaint "--step-size inf")
    assert.equal("--step-size must be a positive number, got \"nan\"", complaint "--step-size nan")
    assert.equal("--staleness must be an integer >= 0 or math.huge, got \"-1\"", complaint "--staleness -1")
    assert.equal("--order must be one of cyclic, random, got \"up\"", complaint "--order up")
    assert.equal("--stats takes no value", complaint "--stats=no")
  end)
end)

describe("a command that takes a script", function()
  setup(function()
    script = process.temporary [[
      local o = require "epact.command".read {
        name = "tool run", about = "Runs.", rest = "script [arguments]",
        { "n", "count", nil, "number" },
        { "set", "list", nil, "a variable" },
      }
      print(o.n, table.concat(o.set, "+"), table.concat(o.rest, "+"))]]
  end)
  teardown(function() os.remove(script) end)

  it("leaves to it what follows its name, and may repeat a list", function()
    assert.equal("2\ta+b=c\tfile+--n+3\n", run "--set a --n 2 --set=b=c file --n 3")
    assert.equal("nil\t\t--n+3\n", run "-- --n 3")
    assert.equal("nil\t\t\n", run "")
  end)

  it("has its own name in the help and in complaints", function()
    assert.matches("^usage: tool run %[options%] script %[arguments%]\n", (run "--help"))
    local output, code = run "--sat x"
    assert.same({ "tool run: unknown option --sat, did you mean --set? (--help lists the options)\n", 2 },
      { output, code })
  end)
end)

describe("command.main", function()
  local function main(body)
    local file = process.temporary('require "epact.command".main(function()\n' .. body .. "\nend)\nprint 'after'")
    local output, code = process.run("luajit " .. file, { paths = true })
    os.remove(file)
    return output, code
  end

  it("runs the body", function()
    assert.same({ "in\nafter\n", 0 }, { main 'print "in"' })
  end)

  it("prints what was raised, without a traceback of the caller, and ends with 1", function()
    local output, code = main 'error("no such file", 0)'
    assert.same({ "no such file\n", 1 }, { output, code })
    output, code = main 'require "epact".run({ worker = 1 }, print)'
    assert.same({ "epact.run: unknown option 'worker' (did you mean 'workers'?)\n", 1 }, { output, code })
    output, code = main 'require "epact".run({ workers = 1 }, function() error "inside" end)'
    assert.equal(1, code)
    assert.matches("worker 0: %S+:2: inside\nstack traceback:\n\t%S+:2: in function", output)
    assert.is_nil(output:find("epact/pool.lua", 1, true))
    assert.equal(1, select(2, main "error {}"))
  end)
end)
