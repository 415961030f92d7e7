package auth

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// TestACLGrammar is the golden table of the lines of an ACL file.
func TestACLGrammar(t *testing.T) {
	for _, c := range []struct {
		text    string
		count   int
		line    int // of the fault, 0 without one
		skipped bool
	}{
		{"", 0, 0, false},
		{"# comment\n\n", 0, 0, false},
		{"topic a/b", 1, 0, false},
		{"topic read a\ntopic write a\ntopic readwrite a\r\n", 3, 0, false},
		{"topic \t a/b \t ", 1, 0, false},
		{"  topic a", 1, 0, false},
		{"topic read", 1, 0, false}, // the filter "read"
		{"topic a b/c", 1, 0, false},
		{"user u\ntopic a\nuser v w\ntopic b", 2, 0, false},
		{"pattern %m/%u/%c/#", 1, 0, false},
		{"topic a/#/b\ntopic x", 1, 0, true},
		{"topic a+", 0, 0, true},
		{"topic", 0, 1, false},
		{"pattern  ", 0, 1, false},
		{"user", 0, 1, false},
		{"topic a\ndeny b", 0, 2, false},
		{"topic deny b", 0, 1, false},
		{"topics a", 0, 1, false},
		{"Topic a", 0, 1, false},
	} {
		r, warning, err := parseACL([]byte(c.text), "f")
		if c.line > 0 {
			var fault *FileFault
			if !errors.As(err, &fault) || fault.Line != c.line {
				t.Errorf("%q: the error is %v, want one in line %d", c.text, err, c.line)
			}
			continue
		}
		if err != nil || r.count != c.count || (warning != "") != c.skipped {
			t.Errorf("%q: %d rules, warning %q, error %v; want %d", c.text, r.count, warning, err, c.count)
		}
	}
}

const aclText = `# for everyone
topic read news/#
topic write in/+
topic both/x
user alice
topic read alice/#
topic readwrite shared/+/y
topic read $share/+/jobs/#
topic write %u/literal
pattern own/%u/%c
pattern read to/%c/#
pattern write %m/out
user bob
topic read #
`

// TestACLRules is the golden table of what the file above grants.
func TestACLRules(t *testing.T) {
	a := aclOf(t, aclText)
	alice := &Client{Username: "alice", ClientID: "c1", Mountpoint: "mp"}
	bob := &Client{Username: "bob", ClientID: "c2"}
	anon := &Client{ClientID: "c3"}
	plus := &Client{Username: "+", ClientID: "+"}
	hash := &Client{Username: "#", ClientID: "#"}
	for _, c := range []struct {
		who  *Client
		what string // r: may subscribe, w: may publish
		name string
	}{
		{anon, "r", "news/today"},
		{anon, "r", "news"},
		{anon, "r", "news/#"},
		{anon, "r", "news/+/x/#"},
		{anon, "", "new"},
		{anon, "w", "in/x"},
		{anon, "", "in/x/y"},
		{anon, "rw", "both/x"},
		{anon, "", "both/+"},
		{alice, "r", "alice/#"},
		{bob, "r", "alice/1"},
		{anon, "", "alice/1"},
		{alice, "rw", "shared/1/y"},
		{alice, "r", "shared/+/y"},
		{alice, "", "shared/#"},
		{alice, "r", "$share/g/jobs/#"},
		{alice, "", "$share/g/alice/#"}, // the prefix is part of the filter
		{alice, "w", "%u/literal"},      // substitution is for patterns
		{alice, "rw", "own/alice/c1"},
		{alice, "", "own/alice/c2"},
		{alice, "", "own/bob/c2"},
		{bob, "rw", "own/bob/c2"},
		{alice, "r", "to/c1/x/y"},
		{alice, "r", "to/c1/#"},
		{anon, "r", "to/c3"},
		{alice, "w", "mp/out"},
		{anon, "w", "/out"}, // the default mountpoint is the empty level
		{bob, "r", "#"},
		{bob, "r", "$SYS/x"}, // wildcards match '$' levels, as in VerneMQ
		{anon, "", "own//c3"},
		{plus, "", "own/+/+"}, // a name with a wildcard stands for nothing
		{plus, "", "to/+/x"},
		{hash, "", "to/#"},
		{hash, "", "own/#/#"},
	} {
		got := ""
		if a.AuthorizeSubscribe(c.who, c.name, 1) == Allow {
			got += "r"
		}
		if !strings.ContainsAny(c.name, "+#") && a.AuthorizePublish(c.who, []byte(c.name), 1, false) == Allow {
			got += "w"
		}
		if got != c.what {
			t.Errorf("user %q client %q on %q: %q, want %q", c.who.Username, c.who.ClientID, c.name, got, c.what)
		}
	}
}

func aclOf(t testing.TB, text string) *ACLFile {
	t.Helper()
	a := NewACLFile(ACLConfig{})
	if _, _, err := a.takeOver([]byte(text), "f"); err != nil {
		t.Fatal(err)
	}
	return a
}

// TestCoverLaw: what a filter matches, the rule that covers the filter
// matches as well; and "a/+" does not cover "a/#".
func TestCoverLaw(t *testing.T) {
	words := []string{"a", "b", "+"}
	filters := []string{"#"}
	for _, x := range words {
		filters = append(filters, x, x+"/#")
		for _, y := range words {
			filters = append(filters, x+"/"+y, x+"/"+y+"/#")
		}
	}
	names := []string{"a", "b", "c", "a/a", "a/b", "b/a", "c/c", "a/b/a", "a/b/c", "a/b/c/d"}
	c := &Client{}
	for _, rule := range filters {
		a := aclOf(t, "topic "+rule)
		for _, f := range filters {
			if a.AuthorizeSubscribe(c, f, 0) != Allow {
				continue
			}
			asked := aclOf(t, "topic "+f)
			for _, n := range names {
				if asked.AuthorizePublish(c, []byte(n), 0, false) == Allow && a.AuthorizePublish(c, []byte(n), 0, false) != Allow {
					t.Errorf("rule %q admits the filter %q, which matches %q beyond it", rule, f, n)
				}
			}
		}
	}
	if aclOf(t, "topic a/+").AuthorizeSubscribe(c, "a/#", 0) == Allow {
		t.Errorf("a/+ covers a/#")
	}
}

// TestPublishAllocatesNothing: an authorizer is asked for every PUBLISH.
func TestPublishAllocatesNothing(t *testing.T) {
	var b strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&b, "user u%d\ntopic site/%d/+/#\n", i, i)
	}
	b.WriteString("pattern own/%u/%c/%m/+\n")
	chain := PublishChain{aclOf(t, b.String())}
	c := &Client{Username: "u77", ClientID: "a-client-with-a-long-name", Mountpoint: "mp"}
	for topic, want := range map[string]Verdict{
		"site/77/x/y":                            Allow,
		"own/u77/a-client-with-a-long-name/mp/z": Allow,
		"site/78/x/y/and/some/more/levels":       Deny,
	} {
		name := []byte(topic)
		if got := chain.AuthorizePublish(c, name, 1, false); got != want {
			t.Errorf("%s: %v, want %v", topic, got, want)
		}
		if n := testing.AllocsPerRun(100, func() { chain.AuthorizePublish(c, name, 1, false) }); n != 0 {
			t.Errorf("%s: %v allocations", topic, n)
		}
	}
}

func FuzzACL(f *testing.F) {
	f.Add([]byte(aclText), "own/alice/c1")
	f.Add([]byte("topic read \x00\nuser #"), "+/#")
	f.Fuzz(func(t *testing.T, text []byte, topic string) {
		r, _, err := parseACL(text, "f")
		if err != nil {
			return
		}
		lines := len(splitLines(text))
		if r.count > lines {
			t.Fatalf("%d rules in %d lines", r.count, lines)
		}
		c := &Client{Username: "alice", ClientID: "c1"}
		for _, set := range []*ruleSet{&r.read, &r.write} {
			if set.allows(c, []byte(topic)) && r.count == 0 {
				t.Fatalf("no rule and %q is allowed", topic)
			}
		}
	})
}

func BenchmarkAuthorizePublish(b *testing.B) {
	a := aclOf(b, aclText)
	c := &Client{Username: "alice", ClientID: "c1"}
	name := []byte("own/alice/c1")
	b.ReportAllocs()
	for b.Loop() {
		a.AuthorizePublish(c, name, 0, false)
	}
}
