package node

import (
	"context"
	"path/filepath"

	"tombolo/internal/admin"
	"tombolo/internal/kv"
	"tombolo/internal/metric"
	"tombolo/internal/storepage"
)

// status fills the status page.
func (v *view) status() admin.Status {
	online, sessions, subs := v.n.broker.Totals()
	s := admin.Status{
		Online: int(online), Offline: int(sessions - online), Subscriptions: int(subs),
		Version: v.n.cfg.Version.Version, Listeners: v.Listeners(),
	}
	v.n.metrics.Each(func(m metric.Sample) {
		switch m.Name {
		case "mqtt_publish_received_total":
			s.MessagesIn += uint64(m.Value)
		case "mqtt_publish_sent_total":
			s.MessagesOut += uint64(m.Value)
		case "mqtt_messages_dropped_total":
			s.QueueDropped += uint64(m.Value)
		case "router_no_match_total":
			s.QueueUnhandled += uint64(m.Value)
		}
	})
	return s
}

// Stores implements admin.Stores.
func (v *view) Stores() []admin.StoreInfo {
	dir := v.n.set.String("data_dir")
	return []admin.StoreInfo{
		storeInfo("metadata", filepath.Join(dir, metaDir), v.n.metaDB),
		storeInfo("messages", filepath.Join(dir, queueDir), v.n.queueDB),
	}
}

func storeInfo(name, path string, db kv.DB) admin.StoreInfo {
	size, err := db.Size(kv.Range{})
	if err != nil {
		size = -1
	}
	return admin.StoreInfo{Name: name, Path: path, Bytes: size, Keys: -1}
}

// database is the one of that name.
func (v *view) database(name string) (kv.DB, error) {
	switch name {
	case storepage.NameMetadata:
		return v.n.metaDB, nil
	case storepage.NameMessages:
		return v.n.queueDB, nil
	}
	return nil, admin.NotFound("the stores are metadata and messages", "there is no store %q", name)
}

// InspectStore implements admin.Stores.
func (v *view) InspectStore(name string) (any, error) {
	db, err := v.database(name)
	if err != nil {
		return nil, err
	}
	if name == storepage.NameMessages {
		return storepage.Look(db), nil
	}
	page, err := storepage.Metadata(db)
	if err != nil {
		return nil, err
	}
	page.Messages = storepage.Look(v.n.queueDB)
	return page, nil
}

// VerifyStore implements admin.Stores: every record is read, which finds what
// checksums can find, and of the metadata what follows from other records is
// computed anew.
func (v *view) VerifyStore(ctx context.Context, name string) (admin.StoreReport, error) {
	report := admin.StoreReport{Name: name}
	db, err := v.database(name)
	if err != nil {
		return report, err
	}
	it := db.Iterator(kv.Range{})
	defer it.Close()
	for it.Next() {
		report.Keys++
		if report.Keys%1024 == 0 && ctx.Err() != nil {
			return report, ctx.Err()
		}
	}
	if err := it.Err(); err != nil {
		report.Findings = append(report.Findings, err.Error())
	}
	if name == storepage.NameMessages {
		report.Findings = append(report.Findings, db.Suspect()...)
		return report, nil
	}
	faults, err := storepage.Verify(db)
	report.Findings = append(report.Findings, faults...)
	return report, err
}
